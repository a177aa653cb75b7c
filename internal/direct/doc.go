// Package direct carries packets between peers by UDP, where there is a path between
// them: sockets around the decisions of package paths.
//
// # The words
//
//   - path: the way to a peer. It is there as long as the peer is, whether packets can
//     take it or not.
//   - engine: the one goroutine that decides. It alone uses the state machines, the ring
//     of disco keys and what we know of ourselves.
//   - owner: the peer to whom what comes from an address belongs. Disco makes owners;
//     what comes from other addresses is dropped.
//
// # Which way things go
//
// [Path.Send] looks up the route of the path, sends a batch by UDP if it says so, and
// tells whether it has to go over the relay, too. Nothing is locked but the socket, and
// nobody waits.
//
// One goroutine for each family of addresses reads (receive.go) and tells what comes
// apart by its first bytes: disco goes to the engine, answers of STUN to who has asked,
// and all else to Deliver, with the owner. Whether that is WireGuard, and the owner's, is
// for WireGuard to find out: no address proves anything.
//
// STUN is asked by the socket that carries the packets, since a NAT has another port for
// each (self.go).
package direct
