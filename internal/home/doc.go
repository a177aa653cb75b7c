// Package home chooses the region that a peer stays connected to, its home, by the
// rules that the peers around it use (section 9 of the specification). It only
// decides: what to measure, when, and what follows from it. Whoever uses it opens
// the sockets, reads the clock and hands the time in, so that every decision can be
// repeated in a test.
//
// # The way of one report
//
//  1. [Schedule] says that a report is due, and whether it is full or incremental
//     (9.2, 10.6).
//  2. [NewRound] plans the STUN probes of it ([Plan], 9.3). [Round.Due] hands them
//     out at their times, [Round.Answer] takes what came back, [Round.Over] says
//     when that is enough.
//  3. If nothing came back, UDP is blocked: [Round.Fallback] names the regions to
//     time over HTTPS instead (9.4).
//  4. [Chooser.Choose] takes the [Report] and says which region is home now, and
//     why (9.5).
//  5. [Adopt] says what to do with a report that nothing answered (9.6).
//
// # The words
//
//   - report: what one round of measuring found: latencies for each region, and our
//     own address as the regions see it.
//   - full report: all regions are measured. An incremental one measures the
//     fastest three of the last report and home.
//   - probe: one STUN request to one node over one address family.
//   - set: the probes of one region over one family. All but the first are there in
//     case those before got lost.
//   - heard: when anything last came in on the connection to a region. A home that
//     talks is not left for want of answers to probes; a relay that stops sending
//     KeepAlive loses that (trap 30).
//
// # Limits
//
// Regions have positive numbers; others are ignored, and 0 stands for no region.
// Numbers above 65535 are fine here, but peers of other makes cannot reach them
// (trap 31): that is for the lint of maps to say. A latency is positive; anything
// else is taken as not measured. A score that is not positive counts as 1 (8.1). No
// number overflows: latencies that are multiplied by a score stay between 1 ns and
// the greatest duration.
//
// Nothing here is safe for concurrent use, and nothing starts a goroutine.
package home
