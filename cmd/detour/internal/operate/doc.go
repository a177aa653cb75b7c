// Package operate has the commands that look at relays while they run and change them:
// reload, access, peers and prune.
//
// They speak to the admin socket of a relay on this machine, which they find without
// being told, or to its https address; peers and prune also speak to relays anywhere as
// a sibling does, with the mesh key.
package operate
