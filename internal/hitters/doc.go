// Package hitters tells who uses a relay most: by key, by network, by what the program of
// the peer is called, by label, over the last minute, hour and day.
package hitters
