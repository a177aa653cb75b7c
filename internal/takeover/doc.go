// Package takeover lets one process take over from another without refusing a
// connection: an upgrade, or a change of settings that cannot be made while the
// process runs. What else the two owe each other is for those who use it: a relay
// links itself to its twin (package twin).
//
// # Words
//
//   - the process before, the next one: the two of a takeover. The next one is the
//     same program, started again from the same path with the same arguments.
//   - kept: a socket that the next process gets. The socket itself is handed over,
//     so nobody finds its address closed meanwhile.
//
// # The way of a takeover
//
// SIGUSR2 or [Takeover.Ask] ends [Takeover.Watch] of the process before once the
// next one has opened everything and has called [Takeover.Ready]. If it fails before
// that, the process before goes on.
//
// # Limits
//
// Only Unix can hand sockets over; elsewhere New returns nil. A process that is
// number 1 of its container is not taken over from: its end would be the
// container's. There is one takeover at a time.
package takeover

// Prepare makes what shall be between this process and the next one. The next one gets
// the files that it keeps ([Takeover.KeepFile]).
type Prepare func() (undo func(), err error)
