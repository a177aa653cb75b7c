// Package usernet is a network within the process, for a tunnel without an interface of
// this machine: it takes no rights. Programs come in by a SOCKS5 proxy or by ports of this
// machine that lead to those of members, and members come to ports of this machine that
// are exposed.
//
// It is gVisor's stack. The device of its own that WireGuard's package netstack has above
// the same stack hands over one packet at a time, cannot change addresses, and may panic
// when it is closed while packets are sent.
package usernet
