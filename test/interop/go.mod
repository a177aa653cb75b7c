module github.com/detour-relay/detour/test/interop

go 1.26.0

require tailscale.com v1.102.5 // indirect
