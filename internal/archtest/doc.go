// Package archtest compares what the packages of this module import with the table
// of what they may import, which has a row for each.
//
// The direction is {key -> derp -> {client, relay}, derpmap} -> internal/* -> cmd: a
// package may import those to its left, and those of internal/ that are a floor to
// it (rate, retry, text, pin, netio, and what measures regions beneath client, see
// docs/decisions/0006). The packages that others may embed keep to the standard
// library and golang.org/x/crypto; client has a WebSocket library besides, and
// derpmap the parsers of its forms. The relay engine learns of the world only
// through what it is handed, so it imports no package that reaches for it. Tests may
// import what they like, but Tailscale's module stays out of this module altogether.
package archtest
