// Package limit is the arithmetic of how much keys may use: a bucket for each key
// and direction, and a total that all keys share fairly.
//
// # Words
//
//   - charge: to note what has been used. It is done afterwards, once for a burst,
//     so a key can owe something.
//   - rest: how long nothing more may be used, so that nothing is owed any more.
//   - mark: the bytes that each key might have used of the total up to now. It rises
//     as fast as a key that always wants more may go.
//   - member: one of the connections of a key. They share its limits.
//
// # The total
//
// Each key has a tag: the mark, and what it has used since then. It owes what its tag
// is above the mark. A key that uses less than its share is always below, and never
// rests; all others are at the mark, however much they want, and so they get
// the same. How steep the mark rises is worked out anew every few milliseconds, by
// whoever charges something then: what the total leaves over of those who used less,
// divided among those who rested.
//
// # Limits
//
// Charging takes no lock and allocates nothing. There is no clock here: times are
// nanoseconds since any fixed moment, the same for all calls.
package limit
