// Package admit decides who may come into a relay.
//
// # Words
//
//   - chain: what is asked about an applicant, in this order: bans and the names of
//     denied applications, which beat all; then what the relay knows itself (files of
//     keys, its own list, everyone); then the sources.
//   - source: somebody else who is asked about a key: an admission URL, a daemon of
//     Tailscale on this machine. It says yes, no, or cannot answer.
//   - known: a key that a source has confirmed within the time of grace. It stays
//     admitted while no source can answer.
//   - stranger: a key of which nobody here has heard. It waits for an answer, and is
//     refused without one.
//   - book: the relay's own list, of who was allowed, imported and banned.
//
// # One login
//
//	Admit ── exempt? ── ban? ── app name? ── files ── book ── everyone? ── sources
//	           in        out       out         in      in        in          |
//	                               known a moment ago: in, and asked again meanwhile
//	                               known: waits a second for the answer
//	                               stranger: waits for the answer, is in by a yes only
//
// # Revocation
//
// What is admitted stays so only as long as it would be again. Whoever changes a list
// or bans a key has the connected looked through; keys that sources have confirmed
// are asked about again in the background, each some time between five and ten minutes
// after its last confirmation. Who is not admitted any more is closed within a
// second.
//
// # Limits
//
// Strangers can keep no more than 32 questions under way and 1,024 waiting, in a lane
// of their own; beyond that they are refused. A source that lies or stalls can only
// refuse. What has been read wrongly changes nothing: the last good state stays.
package admit
