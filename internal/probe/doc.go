// Package probe checks relays from the outside, end to end: it does what clients
// do, one step at a time, and says for each step that fails what to do about it.
//
// # Words
//
//   - check: one question with one outcome: ok, warn, fail or skip. Its name is stable; its detail and remedy are for people.
//   - target: a relay and how to reach and trust it, from a URL or from a node of a DERP map.
//   - remedy: one line that says what to do. Every check that warns or fails has one.
//
// # The order
//
// The checks of a node follow the way of a connection, and a step that fails leaves
// those that need it out (skip, with the reason): dns, proxy, tcp4 and tcp6, tls
// with expiry, names and meta, probe, upgrade, key, login, packet, large, ping,
// websocket, meshkey. Those over UDP and to port 80 go on beside: stun4, stun6,
// port80. Once the nodes of a region are done, it is asked whether they are one
// region: keys, link, mesh.
//
// # Limits
//
// Every check is bounded in time (Config.Timeout), and Run by its context. Of what
// a server sends, a bounded part is read and kept. Nodes are checked some at a time
// (Config.Parallel); a node costs it about 20 connections. Nothing is printed here.
package probe
