// Package quota counts what a relay's month has cost so far, keeps the count on disk,
// and tells of two marks: beyond the soft one people are told, beyond the hard one
// the relay is to stop or to slow down, which is not done here.
//
// # Words
//
//   - month: the time from one reset to the next, which begins on the day that the
//     settings say, at midnight UTC.
//   - used: what counts towards the marks: bytes in, out, or both.
//   - base: what was on disk when this process last looked; delta: what it has counted
//     since.
//
// # The file
//
// Each process adds its delta to what is on disk, under a lock, every 30 seconds: so
// two processes, as there are during a takeover, neither lose anything nor count it
// twice. A file that cannot be written is said once, and the count goes on in
// memory. One that cannot be read is kept aside, and the count begins anew.
//
// # The clock
//
// A month that has begun once does not begin again: a clock that is set back resets
// nothing, one that is far ahead for a while resets once.
package quota
