// Package disco reads and writes the messages by which peers find direct paths to
// each other, as the nodes of Tailscale's networks speak them. It has no sockets and
// decides nothing: what to send to whom is the business of whoever uses it.
//
// # On the wire
//
//	magic   6   54 53 f0 9f 92 ac ("TS💬")
//	sender  32  disco key (Curve25519), which is another one than the peer's own key
//	nonce   24
//	box         NaCl box between the sender's disco key and the receiver's
//
// and in the box
//
//	type    1   1 Ping, 2 Pong, 3 CallMeMaybe
//	version 1   0
//	Ping         transaction 12, key of the sender 32 (may be missing), padding
//	Pong         transaction 12, source of the Ping 18
//	CallMeMaybe  endpoints of 18 each
//
// where an endpoint is 16 bytes of address, IPv4 in its form as IPv6, and 2 of port,
// the higher first. What stands behind a Pong is ignored.
//
// # The words
//
//   - disco key: the key of one run of a peer for these messages.
//   - ring: our disco key, and the boxes that we share with those who may write to us.
//
// # Limits
//
// Only those on the ring are listened to, so a stranger costs one look into a map. A
// message that is opened may still lie about all that it says, and may be an old one
// that is sent again: boxes know no time. At most [MostEndpoints] endpoints of a
// CallMeMaybe are read. Neither reading nor writing allocates, with buffers that are
// used again.
package disco
