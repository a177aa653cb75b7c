// Package sni shares the relay's port with other servers: by the name that a TLS
// ClientHello asks for it tells whose a connection is, and passes those that are not the
// relay's to their backends, unopened.
//
// # Words
//
//   - name: what a ClientHello asks for (its SNI), which may be nothing. What is encrypted
//     of a hello (ECH) stays so: its outer name counts.
//   - own: a name of the relay: as peers reach it, or one of its certificate.
//   - foreign: a name with a backend, and a connection that asks for it.
//   - ahead: what was read of a connection until its name was known. The backend gets it
//     first, byte for byte.
//   - diverted: a connection that the relay does not answer. Nothing was written to it.
//
// # Limits
//
// A hello is read once, by crypto/tls, which refuses messages above 64 KiB; what may stand
// around them is bounded by [MostAhead]. A hello that crypto/tls cannot read names
// nothing that could be passed, and gets the relay's alert. How many connections there are
// and for how long one may take to say hello is for whoever accepts them.
package sni
