// Package coordstate is what a coordinator has in memory: all tailnets with their
// members, brought by the watchers of the store, and who is told of which change.
//
// # Words
//
//   - record: what stands at a key of the store; records.go has them all.
//   - position: up to which revision of a bucket all is known.
//   - change: something that the members of a tailnet are told, in one encoded line.
//   - feed: the last changes of a tailnet that somebody watches.
//   - sub: one who watches. It has a place in the feed and no queue.
//
// # Who is a member
//
// A key is a member of a tailnet if its member record stands, the tailnet's record
// stands, and that record does not list it among the gone. So a removal counts with
// one write, to the tailnet's record; that the member record is deleted after it only
// tidies up ([State.Lingering] has those where that did not come to pass).
//
// # What a sub is told
//
//	cursor ─ resume: records with later revisions, the gone, the map ─┐
//	           └ not possible: snapshot ──────────────────────────────┴─ ring ─ at
//
// What has a revision that the cursor has already is never told: so a replica that is
// behind says nothing old. While a bucket is loaded anew nothing is told at all, since
// the parts of a load are in no state that ever was. What is gone is known from the
// tailnet's record, also by a replica that has just started.
//
// # Locks
//
// One mutex guards all; each call holds it shortly. A sub is woken with it held, so
// what wakes may only note that.
package coordstate
