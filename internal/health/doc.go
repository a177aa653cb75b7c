// Package health says whether a relay wants peers, and why not. Those who measure
// relays and send peers to them (STUN, the probe paths, /readyz) ask it, so that a
// relay that is of no use loses its peers to the next one by itself.
//
// # Words
//
//   - self-check: the relay connects to itself as peers do, with TLS, upgrade and
//     two logins, and sends a packet each way.
//   - path: how the self-check gets to the relay. Via the name is how peers do;
//     direct leads to the listener's own address and asks there for the name.
//   - out of reach: from this machine the name leads nowhere.
//   - unproven: something is there that has not shown the relay's key. Whatever it
//     answers, an error page or nothing, it may be somebody else's.
//
// # When a relay is healthy
//
// It is, until it drains. A self-check takes it out of service once two in a row
// have failed, and the first that passes puts it back.
//
// Many hosts cannot reach their own public name though everybody else can: behind
// NAT without hairpinning, with split DNS, behind a firewall, beside another web
// server. So with both paths the name is only believed once the relay has proven
// itself there. Until then the listener is checked instead, and the log says so once.
//
// # Limits
//
// A self-check is made by the relay's own machine, so it proves nothing about the
// network between it and the peers. It finds what makes every peer fail: a
// certificate that has expired, a middlebox that spoils upgrades, a relay that
// does not get its work done. Whether peers know the certificate's issuer it
// cannot tell.
package health
