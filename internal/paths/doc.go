// Package paths finds the direct path to one peer, and says by which way its packets
// go: a state machine without sockets, goroutines or a clock. Events and the time come
// in by methods of [Peer], actions come out by [Peer.Take].
//
//	relay ──> searching ──> both ──> direct
//	  ^           |          ^  |       |
//	  └───────────┘          |  |       | doubt, or no proof for 6.5 s
//	  ^                      └──┼───────┘
//	  └─────────────────────────┘ no answer any more
//
// # The words
//
//   - candidate: an address where the peer may be: it has named it, or a ping of it
//     came from there.
//   - search: it is called over the relay to ping us (CallMeMaybe), and its candidates are
//     pinged, three times within 1.2 s. As long as no ping of it has come, it is called
//     anew with each of these: it may not know yet by which key we call. One without
//     success is repeated after 5 s, and then ever more rarely, up to 5 min.
//   - proven: a candidate that has answered. What has answered a ping of the size of a
//     full packet is trusted for 6.5 s: packets go there and nowhere else.
//   - doubt: something says that a trusted path may be gone: it does not answer in the
//     usual time, the peer calls, or pings from elsewhere. Packets go on both ways until
//     it has answered, so that a path is left without loss.
//   - in use: we have sent to the peer within 45 s. Only then is a path kept.
//
// # Which path
//
// The first that is proven, and then a faster one: by a tenth and 2 ms at least, and not
// within 30 s of the last change. IPv6 is taken where it is no slower. An address that
// answers small pings only carries no full packets and is not used.
//
// # What a peer can make us do
//
// Whoever is a peer can name addresses that are not its own. Those that cannot be a
// peer's are left out ([Plausible]); one that does not answer gets 6 pings of 124 bytes
// and then one in 5 min, where a ping has come from there 3 more and then one in 10 s, all
// of one peer together 24 and then one in 10 s, and those of all peers have a common
// [Budget]. Names are remembered for 10 min, 32 of them, so that
// naming them again changes nothing. Calls and pings beyond a rate are ignored, so are
// pings that come again, and pongs that do not answer a ping of ours to where they come
// from.
package paths
