package relaycmd

import (
	"encoding/json"

	"github.com/detour-relay/detour/internal/setup"
)

// mapNode returns the entry of a DERP map that leads peers to a relay, ready to
// be pasted: in the first region that is free for private use. stun is the UDP
// port for STUN, 0 if there is none.
func mapNode(host, pin string, port, stun uint16) string {
	text, err := json.Marshal(setup.Node(host, pin, port, stun))
	if err != nil {
		panic(err) // strings and numbers always have a JSON form
	}
	return string(text)
}
