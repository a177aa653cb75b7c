// Package coordserver is a running coordinator as a value: the service of package coord
// with its store, listener, TLS, map, and what operators ask.
//
// # Words
//
//   - engine: the store and the service over it. An embedded engine owns the state
//     directory, which only one process at a time can have.
//   - contact: where members find a coordinator, and how they know that it is the one.
//
// # The life of a coordinator
//
//	s, err := coordserver.Open(cfg, coordserver.Options{})   // all that can fail, in the order in which a person wants to hear of it
//	err = s.Run(ctx, nil)                                    // serves until ctx is done, then drains and stops
//
// Drain and Stop are what Run does at its end.
//
// # A takeover
//
// The next process gets the listeners, so nobody is refused: whom neither process
// answers waits in the kernel's queue. What happens to the engine depends on it.
//
//   - embedded: the process before gives the state directory up, as soon as the next one
//     has opened all the rest, and the next one opens the engine then. Meanwhile nobody
//     is answered, for a second or so, and as long as it takes to load the state.
//   - an external NATS: both run for a while; the streams of the one before are spread
//     over the drain.
//   - in memory: the state would be lost, so there is no takeover.
//
// # Limits
//
// The package takes no signal except through a [takeover.Takeover], and tells the
// service manager nothing unless Options.Service says that the process is this
// coordinator. It speaks HTTP/1.1 alone: a stream of HTTP/2 costs as much memory as a
// connection, and its windows and frames besides, while a member has one stream.
package coordserver
