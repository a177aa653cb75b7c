// Package coord is the coordination server over a store: who joins, who may ask, and
// who is told of what.
//
// # One join
//
//	challenge ── join: proof? invite? ── claim in the tailnet's record ── member record ── seen by the watcher ── answer
//	                                     (takes a use of the invite)
//
// Who asks again, because the answer was lost or the coordinator died in between, goes
// on where it was. A claim whose member does not come is free after a minute, and the
// use of the invite is given back.
//
// # One stream
//
// A stream is one goroutine that reads, to learn when the peer has gone; whenever
// there is something to say, one that says it and ends. The bytes are shared with the
// other streams of the tailnet: see package coordstate.
//
// # What the server before it must set
//
// http.Server.ReadHeaderTimeout (10 s), IdleTimeout (2 min) and MaxHeaderBytes (8 KB).
// No ReadTimeout and no WriteTimeout: bodies, answers and lines have deadlines here; what
// the server answers beside goes through Bounded. Streams
// take their connections over, so http.Server.Shutdown does not know of them: Drain
// moves them, and Run ends them. HTTP/2 works, but costs more memory for each stream.
//
// # Online
//
// Who has a stream is never told to anybody by itself. Each coordinator writes, every
// half minute and only if it has changed, who has a stream at it: 16 records, each a
// set of hashes; and that it lives, every 20 s. So a storm of reconnects costs 16
// writes, and what an operator reads is right within a minute. At most some 20,000
// streams of a coordinator in each of the 16 are told; beyond, the others think those
// offline.
//
// # Limits
//
// An address may ask as often as [Limits] say; X-Forwarded-For is not believed. Used
// challenges are remembered by each process, so a proof that somebody overheard counts
// once at each coordinator within a minute; they are sent over TLS only.
package coord
