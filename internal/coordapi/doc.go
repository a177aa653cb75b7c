// Package coordapi is what a coordination server and those who ask it say to each
// other: HTTP with JSON.
//
// # Words
//
//   - coordinator: one process of the coordination server; any of several answers.
//   - tailnet: a set of peers under one coordination server.
//   - member: a peer of a tailnet, by its node key.
//   - invite: the right to become a member, so many times until some moment.
//   - session: the right of a member to ask, for an hour; every coordinator takes it.
//   - cursor: how much of a tailnet's changes somebody has seen; opaque to all but
//     coordinators, and understood by each of them.
//   - report: where a member is: its home, its disco key, its version.
//
// # The calls
//
//	POST   /v1/challenge     anybody            Challenge
//	POST   /v1/join          has an invite      Join -> Joined
//	POST   /v1/login         a member           Login -> Session
//	GET    /v1/watch?since=  session            Event lines, as long as both like
//	PUT    /v1/self          session            Report -> Stored
//	GET    /v1/peer/NODEKEY  session            Peer
//	GET    /v1/map           session            a DERP map, with ETag
//	POST   /verify           derper's relays    the admission request of the protocol
//	GET    /v1/relay/watch?since=  relay token  RelayEvent lines
//	       /v1/admin/...     operator           see admin.go
//
// A session and the tokens stand in the header Authorization: Bearer. What is refused
// is answered with an [Error].
//
// # Limits
//
// The bounds of what may be sent are constants of this package ([MostBody] and those
// after it); a coordinator refuses more, and a member believes no more.
package coordapi
