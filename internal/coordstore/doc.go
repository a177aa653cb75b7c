// Package coordstore is what a coordinator keeps its state in: buckets of small
// values that are watched whole, and written only by who knows what stands there.
//
// # Words
//
//   - bucket: one ordered history of changes. What is compared, and what is resumed,
//     is always within one bucket.
//   - revision: where a change stands in its bucket's history; it only grows.
//   - epoch: which history it is. A bucket that is made anew has another one, and
//     its revisions begin again.
//
// # The one rule
//
// A process has one watcher for each bucket, and answers everything from what the
// watchers have brought. Nothing is read otherwise: a read may be answered by a
// replica that has not heard yet, a watcher's history is in order.
package coordstore
