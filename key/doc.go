// Package key holds the three kinds of key a DERP network knows, their text forms and the box that seals the login.
//
// The words:
//
//   - Public: a Curve25519 public key. It is the address of a peer, and the identity of a relay.
//   - Private: the matching secret scalar.
//   - Mesh: a random secret that the relays of one region share.
//   - Box: what two parties compute from one's private and the other's public key; it seals and opens the two login messages.
//
// Secrets do not print: Private, Mesh and Box have a redacted form for fmt and slog, whatever the verb, and no error
// text of this package repeats what it was given. Only the Text methods give a secret away. (fmt cannot call methods on
// keys in unexported fields of other structs, so such structs should not be printed whole.)
//
// Limits: keys are 32 bytes, nothing is rotated or derived, and the box offers neither replay protection nor forward
// secrecy. After login, a relay connection is protected by TLS only, and packets by the peers themselves.
package key
