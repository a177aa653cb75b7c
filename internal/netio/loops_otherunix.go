//go:build unix && !linux

package netio

import "net"

// looped is of Linux; elsewhere nobody has loops to give a socket to.
func (l *Loops) looped(net.Conn) (kernelSocket, *half, error) { return nil, nil, errNoSocket }
