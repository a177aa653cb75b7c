// Package pairing makes two machines known to each other without a coordination
// server: one gives the other a token, by a way that both trust, and they say hello
// through a relay. It has no network and no clock of its own.
//
// # Words
//
//   - inviter: who makes the token and waits for whoever comes with it.
//   - guest: who has got the token.
//   - token: the inviter's key, a secret, relays by which the inviter can be reached, and
//     a time after which it is of no use. It is for one guest.
//   - door: all invitations of one inviter.
//   - hello: the guest's packet, and welcome: the answer.
//   - link: the two, once they know each other; they tell each other where they are.
//
// # The packets
//
// All are sealed between the two node keys, and authenticated by the secret as well, so
// that neither a relay nor anybody who knows the inviter's key can take part, nor read the
// names in them:
//
//	magic  12 bytes  "detour-pair1"
//	nonce  24 bytes  and what follows in a NaCl box of the two node keys:
//	mac    32 bytes  HMAC-SHA256, key: the secret, of: context, kind, sender, receiver, body
//	kind    1 byte   1 hello, 2 welcome, 3 refused, 4 here
//	body             hello and welcome: about
//	                 refused: why (1 byte)
//	                 here: number (8 bytes), number that it answers (8 bytes), about
//	about            region (2 bytes), disco key (32 bytes), length and text of a name
//
// A hello may be lost or come twice: the guest repeats it, and the one guest whose token
// it is gets the same answer each time. What is not authentic is dropped in silence, but
// for a hello from a key that is sealed to ours, with a secret that is none of ours: its
// sender has an old token, and is told so by a refusal whose secret is zeros. Only the
// inviter can have sealed that.
//
// The secret of a here is the preshared key. Its number says which of two is the newer; one
// that is told again has the same. A here that answers none is answered.
//
// # What comes of it
//
// Each knows the other's key, name and home region, a key for WireGuard that they share
// (the preshared key), and both their addresses, which follow from the keys.
package pairing
