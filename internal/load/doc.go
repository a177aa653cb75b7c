// Package load puts load on a relay, any that speaks DERP, and reports what
// arrived.
//
// The words, besides those of the project: a stream is the packets from one sender
// to one receiver; the measured window is the part of a run that the report speaks
// of, between the warm-up and the draining of what is still under way; a fault is a
// received frame that is not what was sent. Loss is normal for a relay under load.
// A fault never is, and is never counted as loss.
//
// A run begins in run.go and follows the packets: sender.go stamps and sends them
// by the schedule of pace.go, receiver.go takes them back, check.go judges them,
// tally.go sums up into the Report. Echo, in echo.go, is the small sibling of Run:
// single packets there and back.
//
// A run with a second relay has its receivers there; both relays are siblings, and
// packets cross their mesh.
//
// Limits: senders and receivers live in one process, so that one clock times them.
// They share the machine with the relay whenever that runs on it too; the report's
// own_process says how much they took. Reading another process's CPU time and
// memory works on Linux only.
package load
