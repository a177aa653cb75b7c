// Package daemon is a running relay as a value: the engine with its listener, TLS,
// STUN, siblings, self-check and what operators ask.
//
// # Words
//
//   - phase: what a relay is doing: opened, serving, draining, stopped, in this
//     order and never back.
//   - ops: the servers for operators of the same machine, who look.
//   - control: what commands reach the relay by, and change it.
//   - path: how the self-check gets to the relay (package health).
//
// # The life of a relay
//
//	d, err := daemon.Open(cfg, daemon.Options{})   // all that can fail, in the order in which a person wants to hear of it
//	err = d.Run(ctx)                               // serves until ctx is done, then drains and stops
//
// Open binds the listener first, because the paths of the self-check lead there;
// then it makes the health, and all that asks it. What it returns is whole: there is
// nothing to be set later.
//
// Drain and Stop are what Run does at its end. They are there for who runs several
// relays and wants all to have drained before any stops: a relay that stops
// earlier is a sibling that fails. Both end Run's part of the work, whoever calls
// them.
//
// Reload takes other settings over while the relay runs: each part has a [step], which
// checks all of it before anything takes effect. Sockets, the relay's key and the state
// directory take a new process, to which the relay hands over without loss (package
// takeover) where that can be; where it cannot, Reload says what needs a restart.
//
// # Limits
//
// The package starts no process and takes no signal except through a
// [takeover.Takeover], changes nothing that all of the process shares, and tells the
// service manager nothing unless Options.Service says that the process is this
// relay.
package daemon
