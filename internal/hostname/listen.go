package hostname

import (
	"fmt"
	"net"
	"strings"
)

// CheckListen says what is wrong with a listen address.
func CheckListen(address string) error {
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix || strings.HasPrefix(address, "/") {
		return fmt.Errorf("%q: %s is a Unix socket, and servers listen on TCP: want host:port, such as 127.0.0.1:3340 for a proxy on this machine", address, path)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q: want host:port, such as 127.0.0.1:3340, or :443 for every address", address)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return fmt.Errorf("%q: no such port: want a number from 0 to 65535", address)
	}
	return nil
}
