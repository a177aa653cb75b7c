// Package coordload puts load on a coordination server: members by the thousand
// that log in, hold streams and report, and note what they are told.
//
// # Words
//
//   - crowd: members of one or many tailnets, in this process.
//   - stream: a member's connection on which it is told of changes.
//   - seen: what a stream has told: how many of which events, and the last cursor.
//
// # Limits
//
// A member here keeps nothing of its tailnet: a crowd of 20,000 that did would need
// more memory than what it measures. Each stream is one TCP or TLS connection with
// one goroutine. Streams come from loopback addresses of their own, so that one
// source's bounds are not what is measured; only loopback coordinators are asked.
package coordload
