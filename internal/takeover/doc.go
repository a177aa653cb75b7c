// Package takeover lets one process of a relay take over from another without
// refusing a connection or losing a packet: an upgrade, or a change of settings
// that cannot be made while the relay runs.
//
// # Words
//
//   - the process before, the next one: the two of a takeover. The next one is the
//     same program, started again from the same path with the same arguments.
//   - kept: a socket that the next process gets. The socket itself is handed over,
//     so nobody finds its address closed meanwhile.
//   - twin: the other process, which has the relay's own key. The two are linked
//     over a pair of sockets, so that peers of both reach each other until the one
//     before has sent all of its own away.
//
// # The way of a takeover
//
// SIGUSR2 or [Takeover.Ask] ends [Takeover.Watch] of the process before once the
// next one has opened everything, is linked ([Takeover.Follow]) and has called
// [Takeover.Ready]. If it fails before that, the process before goes on.
//
// # Limits
//
// Only Unix can hand sockets over; elsewhere New returns nil. A process that is
// number 1 of its container is not taken over from: its end would be the
// container's. There is one takeover at a time.
package takeover
