//go:build unix

package main

// programs are what the tests can start.
var programs = map[string]func(){"detour": main, "derper": main, "reloader": reloader}
