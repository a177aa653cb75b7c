// Package stun tells clients how far away a relay is and which public address they have: the responder beside a relay, and
// the prober that asks it. Both speak the subset of RFC 5389 that Tailscale clients speak (section 11 of the protocol
// description) over UDP, by default on port 3478.
//
// # Words
//
//   - request: a binding request that names the software "tailnode" and ends with a valid fingerprint. Nothing else is
//     answered, so generic STUN clients get no answer.
//   - answer: a binding success response with one XOR-MAPPED-ADDRESS, 32 bytes for IPv4 and 44 for IPv6; 4 bytes more than
//     the shortest request at most, so the responder is of no use to those who amplify.
//   - transaction: a request and its answer, which carries the request's random ID of 12 bytes.
//
// # Limits
//
// A responder reads at most 1500 bytes of a datagram, walks over its attributes once and computes one CRC. It remembers
// nothing about those who ask, and limits no rate: the answer is cheaper than the bookkeeping. On Linux it answers from the
// address that was asked, also on a socket bound to all addresses, and takes and sends datagrams in batches; elsewhere the
// system chooses the address, one datagram at a time.
//
// The codec of the responder is our own, because the well-kept library (github.com/pion/stun/v3) trusts the length field of
// the header, which the relays that exist do not look at, and so would answer other requests than they do. Tests compare
// both byte by byte. The prober, which knows its own requests, uses the library.
package stun
