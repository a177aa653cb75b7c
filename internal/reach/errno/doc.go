// Package errno names what the system says when binding or connecting fails, since
// the numbers differ between systems.
package errno
