// Package acme has the certificates of a relay issued and renewed by an authority that
// speaks ACME (RFC 8555), for DNS names and for IP addresses (RFC 8738).
//
// # Words
//
//   - authority: who issues, known by the URL of its directory.
//   - wanted: one certificate that is to be had: all DNS names are in one, all addresses
//     in another, because authorities give addresses a shorter life.
//   - challenge: how the authority finds out that the names lead here. It asks; the
//     answers are given by the relay's own listener ([Source.Certificate]), by whoever
//     answers at port 80 ([Source.ServeChallenge]), or they stand in the DNS.
//   - storage: where certificates, the account and the answers to challenges are kept.
//     Relays of one name can share it: one of them asks, and any of them answers.
//
// # Limits
//
// Who the relay is says its operator, by the names in [Config]. The addresses of sockets
// say nothing: behind a translation they are others.
//
// What there is stays in use whatever fails. A try that failed is repeated later and
// later, and no sooner than the authority has asked for, because authorities count.
package acme
