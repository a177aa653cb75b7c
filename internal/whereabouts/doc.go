// Package whereabouts remembers where peers can be reached: the home that somebody
// has told, and the region where a packet of them came in last. It knows nothing of
// what a region is but whether it is still connected as it was.
package whereabouts
