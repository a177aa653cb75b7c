// Package front is what stands before a server that people run, a relay or a
// coordinator: where it keeps its state, its certificate, its addresses, what operators
// of the same machine look at, and how commands reach it.
//
// The settings of it are those of a relay ([config.Config]), so that they are called
// the same and checked the same wherever they are given. Errors about one are
// [*config.Error].
//
// # Words
//
//   - ops: a server for operators of the same machine, who look.
//   - commands: what changes the running server, over a unix socket or with a token.
package front
