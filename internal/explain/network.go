package explain

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// name is about the DNS, and about addresses that are none.
func (w *Way) name(err error) (Finding, bool) {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	addr, isAddr := errors.AsType[*net.AddrError](err)
	switch {
	case isDNS && dns.IsNotFound:
		return Finding{NoName, "is the host name right?"}, true
	case isDNS:
		return Finding{NoDNS, "the DNS of this machine does not answer: is it online, and are its name servers right?"}, true
	case isAddr:
		return Finding{NoPort, fmt.Sprintf("correct %q", addr.Addr)}, true
	}
	return Finding{}, false
}

// system is about what the operating system says.
func (w *Way) system(err error) (Finding, bool) {
	code, found := errors.AsType[syscall.Errno](err)
	if !found {
		return Finding{}, false
	}
	f, known := systemCauses[code]
	if !known {
		return Finding{}, false
	}
	if f.Cause == Refused {
		f.Remedy = "nothing listens there: is the relay running, and is the port right?"
		if w.Map {
			f.Remedy = "nothing listens there: is the port right?"
		}
	}
	if f.Cause == Cut {
		f.Remedy = w.cut()
	}
	if f.Cause == Silent {
		f.Remedy = w.silent()
	}
	return f, true
}

// sharedCauses are the numbers that all systems know by these names.
var sharedCauses = map[syscall.Errno]Finding{
	syscall.ECONNREFUSED: {Cause: Refused},
	syscall.ECONNRESET:   {Cause: Cut},
	syscall.ECONNABORTED: {Cause: Cut},
	syscall.EPIPE:        {Cause: Cut},
	syscall.ETIMEDOUT:    {Cause: Silent},
	syscall.ENETUNREACH:  {NoRoute, "this machine has no way to that address: is it online, and does it have the address's family?"},
	syscall.ENETDOWN:     {NoRoute, "the network of this machine is down"},
	syscall.EHOSTUNREACH: {NoRoute, "no machine answers at that address: is it right, and is the machine up?"},
	syscall.EMFILE:       {Local, "too many connections for one process: raise the limit with ulimit -n"},
	syscall.ENFILE:       {Local, "too many open files on this machine: raise fs.file-max"},
	syscall.EACCES:       {Local, "this machine does not let us connect there: see its firewall and security modules"},
	syscall.EPERM:        {Local, "this machine does not let us connect there: see its firewall and security modules"},
	syscall.EADDRNOTAVAIL: {Local,
		"no local port is left, or the address is not one to connect to: wait a minute, or widen net.ipv4.ip_local_port_range"},
	syscall.EADDRINUSE: {Local, "no local port is left: wait a minute, or widen net.ipv4.ip_local_port_range"},
	syscall.ENOBUFS:    {Local, "this machine has no memory left for sockets"},
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
