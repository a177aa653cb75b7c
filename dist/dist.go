// Package dist has what is handed out beside the program, within the program.
package dist

import _ "embed"

// Unit is the systemd unit of a relay, detour.service.
//
//go:embed detour.service
var Unit string

// MemberUnit is that of a member of a tailnet, detour-up.service.
//
//go:embed detour-up.service
var MemberUnit string
