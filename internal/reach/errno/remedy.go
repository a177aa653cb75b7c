package errno

import (
	"errors"
	"fmt"
	"net"
)

// BindError returns err with its remedy.
func BindError(err error, taken string) error {
	if remedy := BindRemedy(err, taken); remedy != "" {
		return fmt.Errorf("%w: %s", err, remedy)
	}
	return err
}

// BindRemedy says what an operator does about an address that cannot be listened on;
// taken is what he does if something else listens there. It is empty if nobody knows.
func BindRemedy(err error, taken string) string {
	_, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, AddressInUse):
		return taken
	case errors.Is(err, AddressNotAvailable):
		return "no interface has this address: give one of this machine, or only a port"
	case isDNS:
		return "give an address of this machine, or only a port"
	case errors.Is(err, AccessDenied):
		return "ports below 1024 need a privilege (root or CAP_NET_BIND_SERVICE), or choose a higher port"
	case errors.Is(err, TooManyFiles):
		return "this process may open too few files and sockets: set LimitNOFILE= in its systemd unit, or raise it with ulimit -n"
	}
	return ""
}
