// Package membercmd has the commands that are a member of a tailnet: "detour join",
// "detour up" with "down" and "status", and "detour ping --as".
//
// A member runs once: its state file is locked, and two connections with its key would be
// in each other's way. So a join that runs lends its Host over a unix socket beside the
// state file, and ping asks there; only where none runs does ping open the state file
// itself. An up that runs tells and takes orders there, too.
package membercmd
