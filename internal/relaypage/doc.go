// Package relaypage shows a relay to its operator, in a browser: how it is and what to do
// about it, what it relays, who uses it.
//
//	/  all of it at a glance
//
// Everything else goes to who answered at that address before.
package relaypage
