// Package pair is who the peers are where there is no coordinator: those that have come
// with a token of ours, and who has given us one. It is to an agent what a tailnet.Member
// is; package pairing has the tokens and the packets.
//
// # What happens when
//
// Open reads the state file, or makes one with a new key. Host makes the Host, and the
// keeper begins:
//
//   - a guest says hello to its inviter, again and again, first in the region of the token
//     and then in one after the other: the inviter may have moved. After 10 min it gives up.
//   - an inviter answers. Who has come is in the state file before it is told so, so that
//     no token is good for two, whatever becomes of the disk.
//   - whenever our home has changed, and after each start, all peers are told where we are
//     and by which disco key we look for paths, in the same way, until they answer.
//
// All machines have the same relays, which are regions 901, 902 and so on.
//
// # The state file
//
// It holds the private key, the relays, and for each peer the key that the two share, so
// only its owner may read it. What counts is written at once, where a peer is now some
// seconds later.
package pair
