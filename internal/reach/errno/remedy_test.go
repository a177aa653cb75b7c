package errno

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestBindRemedy(t *testing.T) {
	bind := func(code syscall.Errno) error {
		return &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", code)}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{bind(AddressInUse), "stop it"},
		{bind(AddressNotAvailable), "give one of this machine"},
		{&net.OpError{Op: "listen", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "a"}}, "give an address of this machine"},
		{bind(AccessDenied), "CAP_NET_BIND_SERVICE"},
		{bind(TooManyFiles), "LimitNOFILE"},
	} {
		if got := BindRemedy(c.err, "stop it"); !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
	if got := BindRemedy(bind(syscall.EINVAL), "stop it"); got != "" {
		t.Errorf("unknown: %q", got)
	}
}
