// Package agent makes this machine reachable in its tailnet: a WireGuard device whose
// packets go by way of relays, with the peers that the coordinator tells of, or those that
// it is paired with (package pair).
//
// # Words
//
//   - network: where the packets of the device come from and go to: an interface of this
//     machine (package hostnet), or a stack within the process (package usernet).
//   - source: who says who the peers are.
//   - wanted: the peers that the device is to have, each with its addresses.
//   - found: the peers that it has, as it says itself.
//   - guest: a peer of which a packet came in before the coordinator has told of it, and
//     about which it was asked.
//
// # What happens when
//
// Open becomes a member of the tailnet, makes the device above a wgbind.Bind, and has it
// up. Whenever the coordinator tells something, and every 30 s, what is wanted is compared
// with what is found, and the difference is set: nothing is assumed of what was set
// before. So is the network, with its addresses and routes.
//
// A packet of a peer that the device does not have is held by the Bind while the
// coordinator is asked; a member becomes a guest, until the coordinator tells of it.
//
// Two members with one address, of which only a coordinator that errs tells, do not take
// turns: the one with the lesser key has it. No keepalives are sent: the connection to
// the relay, which has its own, is what firewalls see.
package agent
