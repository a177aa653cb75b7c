module github.com/detour-relay/detour/test/interop/programs

go 1.26.6

require golang.org/x/sys v0.49.0
