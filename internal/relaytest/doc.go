// Package relaytest plays dialogues with a relay in memory: no ports, no real
// time. Tests run it inside a testing/synctest bubble.
//
// # Words
//
//   - Relay: a relay under test, with the net.Pipes that lead to it.
//   - Peer: somebody at the other end of a pipe, who speaks in frames.
//   - notation: a frame as a text, as the scenarios of the test vectors write
//     it: RecvPacket(src=alice,"hi"), PeerGone(bob,reason=1), EOF.
//
// A key is named by the text it is derived from, with the rule of the test
// vectors, so the names there ("server", "alice") stand for the keys there.
//
// # What is checked without asking
//
// When a test ends, its relays are shut down. That must end every goroutine,
// leave the gauges at zero and the sums of relay.Survey intact; a peer fails
// its test if a frame is longer than peers accept.
package relaytest
