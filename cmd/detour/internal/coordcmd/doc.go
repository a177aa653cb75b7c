// Package coordcmd has the commands of the coordination server: "detour coord", which
// runs a coordinator, and "detour net", by which operators ask one.
package coordcmd
