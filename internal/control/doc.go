// Package control is how commands change a running relay: HTTP with JSON over a unix
// socket of this machine, or over the network for those who have a token.
//
// # Words
//
//   - order: what is asked of a relay for some keys: allow, remove, ban, unban, close.
//   - result: what became of an order for one key.
//   - rows: a long answer, one JSON value a line, as it comes.
//   - door: what stands before the handler where strangers can knock.
//
// # Who may ask
//
// Whoever can open the socket may do everything: it has mode 0600 from its first
// moment, and the directory that holds it belongs to the relay. Over the network the
// door wants the token and refuses what comes from a web page.
//
// # Limits
//
// Nothing that asks can hurt the relay: orders are a megabyte at most, imports
// [MostImport] bytes and [MostEntries] keys; so many connections and so many long
// answers at once; who takes or sends no bytes for [patience] is cut off. A list is
// walked while the relay goes on, and no lock of the relay is held while somebody
// reads.
package control
