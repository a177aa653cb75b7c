// Package coordbench measures a coordination server: processes of `detour coord` on this machine, under members by the
// thousand (internal/coordload) in the process that measures.
//
// The words: a place is a directory with the program to measure; a coordinator is one process; a measurement starts its
// coordinators anew, in a directory of its own.
//
// Limits: both sides share the machine, so times are for both. It needs Linux for memory, and as many descriptors as
// there are streams, twice.
package coordbench
