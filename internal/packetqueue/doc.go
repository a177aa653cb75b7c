// Package packetqueue has the two queues between a client's callers and its
// connections. [Send] holds packets until a connection can take them, and drops
// what waited longest. [Recv] holds what connections have read until somebody wants
// it. Neither knows what a connection is.
package packetqueue
