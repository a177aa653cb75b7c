// Package derp is the wire of the DERP protocol: frame types, the frame header, and for every frame one function that
// appends it and one that parses its payload. It is pure: no I/O, no clock, no state.
//
// The words: a frame is the unit on the wire, a five-byte header and a payload. A packet is the opaque content of the
// frames SendPacket, RecvPacket and ForwardPacket. A peer is a public key that logged in to a relay. A watcher is a
// holder of the mesh key that asked to be told about all peers.
//
//	0        1                                5
//	+--------+--------------------------------+--------------- - -
//	| type   | payload length, big-endian     | payload
//	+--------+--------------------------------+--------------- - -
//
// The login: the relay sends ServerKey; the peer sends ClientInfo, whose content is in a box for the relay; the relay
// sends ServerInfo, in a box for the peer, and from then on both send the other frames.
//
// Append functions append a whole frame, header included, and return the extended slice. Parse functions take the payload
// without the header, and what they return is a copy, except for packets: those alias the payload. Neither allocates for
// packets. The errors are fixed values: nothing is built per frame.
//
// The parse functions are as strict or lenient as the reader of that frame has to be: frames that a relay reads are
// refused if they have the wrong length (the relay then closes the connection), frames that a relay sends may be longer
// than known, for the future.
//
// Limits: a packet has at most 64 KiB; a frame to a relay at most MaxFrameToServer bytes of payload (ForwardPacket, with
// its second key, KeyLen more), a frame from a relay at most MaxFrameToClient. Readers check these before they read a
// payload; the parse functions cannot.
package derp
