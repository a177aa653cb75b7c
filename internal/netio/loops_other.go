//go:build !linux

package netio

import "errors"

// Loops are of Linux; elsewhere there are none, and nil is what streams are made with.
type Loops struct{}

// NewLoops fails.
func NewLoops(int) (*Loops, error) {
	return nil, errors.New("netio: event loops are of Linux alone")
}

// Close does nothing.
func (l *Loops) Close() {}
