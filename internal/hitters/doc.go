// Package hitters tells who uses a relay most: by key, by network, by what the program of
// the peer is called, by label, over the last minute, hour and day, in fixed memory.
//
// # Words
//
//   - use: bytes and packets that a peer sent to the relay and got from it. What siblings
//     bring and get is none.
//   - look: every five seconds all conns are asked what they have used, and what is new
//     since the last look is counted. What a conn used before it ended counts, too.
//   - part: what was used in one stretch of time: between two looks, or in 5 minutes, or in
//     an hour. A window is the parts that lie in it.
//
// # Bounds
//
// A part has at most 128 names of each kind ([room]), and up to twice as many while it
// is counted. All parts together have fewer than 7000 of each kind, some 3 MB, however many
// peers there are; a conn that has used anything takes 80 bytes besides, as long as it is
// there.
//
// As long as a part has met no more than 128 names all figures are exact. Beyond that it
// forgets who used least, and remembers how much that can have been: whoever comes
// back may have used so much more than is shown (Hitter.Missed). This is the algorithm of
// Misra and Gries, whose summaries can be merged (Agarwal and others, Mergeable Summaries,
// 2012): in a window of N bytes nobody has used more than N/129 bytes, 0.8 %, besides those
// that are shown. So whoever has used more than that is there, and no stream of names, however
// many and in whatever order, can push them out.
//
// Time is that of the monotonic clock: the clock on the wall may jump.
package hitters
