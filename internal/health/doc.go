// Package health says whether a relay wants peers, and why not. Those who measure
// relays and send peers to them (STUN, the probe paths, /readyz) ask it, so that a
// relay that is of no use loses its peers to the next one by itself.
//
// # Words
//
//   - self-check: the relay connects to itself as peers do, with TLS, upgrade and
//     two logins, and sends a packet each way.
//   - door: a way into the relay for the self-check. By name is the way that peers
//     take; direct leads to the listener's own address and asks there for the name.
//   - out of reach: from this machine the name leads nowhere, or to somebody else.
//
// # When a relay is healthy
//
// It is, until it drains. A self-check takes it out of service once two in a row
// have failed, and the first that passes puts it back.
//
// Many hosts cannot reach their own public name though everybody else can: behind
// NAT without hairpinning, with split DNS, behind a firewall. So with both doors
// the name is only believed once it has worked. While it is out of reach and has
// never been otherwise, the check goes through the direct door instead.
//
// # Limits
//
// A self-check is made by the relay's own machine, so it proves nothing about the
// network between it and the peers. It finds what makes every peer fail: a
// certificate that has expired, a middlebox that spoils upgrades, a relay that
// does not get its work done. Whether peers know the certificate's issuer it
// cannot tell.
package health
