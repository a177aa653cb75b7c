// Package wgproxy stands between a WireGuard that is there already and the relays. It
// sets the endpoint of each peer to a socket on this machine's loopback; what WireGuard
// sends there goes to the peer by way of relays, and what comes from the peer is sent from
// there.
//
// # Words
//
//   - device: the WireGuard, of the kernel or of a program, known by its interface.
//   - stand-in: the socket that the device takes for a peer. It is connected to the
//     device, so that nobody else can send to it.
//   - ledger: which endpoints the device was given, and which it had before.
//   - note: the ledger as a file, from before the first endpoint is set until all are set
//     back. What a process that was killed has left is put right with it by the next.
//
// # What happens when
//
// Open takes the device for this process alone, reads it, and puts right what was left.
// Run then looks at the device each second or two, as nothing tells of its changes: it makes and
// closes stand-ins as peers come and go, sets endpoints, takes over a mark, a port or a
// private key that has changed. An endpoint that somebody else has set, or that WireGuard
// has learnt from a packet that came directly, is set back, and is what the peer has in the
// end. When Run returns, the device has the endpoints that it had, but for peers that had
// none: WireGuard knows no way to take one.
//
// Peers of the device are never made or removed.
//
// # Limits
//
// Where there is UDP segmentation (Linux), several packets pass a system call. What the
// device does not take in time is lost in its own buffer, and not counted here. The device
// has to be reached over the loopback of this network namespace.
package wgproxy
