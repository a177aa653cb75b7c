package front

import (
	"context"
	"fmt"
	"net"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/reach/errno"
	"github.com/detour-relay/detour/internal/takeover"
)

// SocketName is the name of a socket for the next process, which takes it only if it
// is to listen at the same address.
func SocketName(setting, address string) string { return setting + "=" + address }

// Listen binds an address as servers do. Who serves sets the options of connections.
func Listen(address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false) // it does not combine with the user timeout (spec 1.1)
	return lc.Listen(context.Background(), "tcp", address)
}

// ListenOrTake binds the address of a setting, or takes it over from the process
// before; the next one gets it, too.
func ListenOrTake(t *takeover.Takeover, setting, address string) (net.Listener, error) {
	name := SocketName(setting, address)
	listener, err := t.Listener(name)
	if listener == nil && err == nil {
		if listener, err = net.Listen("tcp", address); err == nil {
			err = t.Keep(name, listener)
		}
	}
	if err != nil {
		return nil, CannotListen(setting, err)
	}
	return listener, nil
}

// CannotListen is an error about the setting of an address.
func CannotListen(setting string, err error) error {
	return Failed(setting, err, errno.BindRemedy(err, "stop what listens there, or choose another address with {"+setting+"}"))
}

// Failed is an error about what a setting asks for.
func Failed(setting string, err error, remedy string) error {
	return &config.Error{Setting: setting, Err: err, Remedy: remedy, Failed: true}
}

// CheckLoopback makes sure that what is for operators is for this machine only.
func CheckLoopback(setting, address, example, why string) error {
	if address == "" {
		return nil
	}
	if err := hostname.CheckListen(address); err != nil {
		return &config.Error{Setting: setting, What: err.Error()}
	}
	if !isLoopback(address) {
		return &config.Error{Setting: setting, What: fmt.Sprintf("%q", address),
			Remedy: fmt.Sprintf("only loopback addresses, such as %s; %s", example, why)}
	}
	return nil
}
