// Package mapnode gives the reference's code the entry of a relay in a DERP map.
package mapnode

import (
	"encoding/json"

	"tailscale.com/tailcfg"

	"github.com/detour-relay/detour/test/interop/programs"
)

// Of returns the entry of a relay, which is the caller's.
func Of(r *programs.Relay) *tailcfg.DERPNode {
	text, err := json.Marshal(r.Node)
	if err != nil {
		panic(err) // it is made of texts and numbers
	}
	node := new(tailcfg.DERPNode)
	if err := json.Unmarshal(text, node); err != nil {
		panic(err) // the names are theirs
	}
	return node
}

// Regions keys a map by the reference's type of a region's number.
func Regions[V any](m map[int]V) map[tailcfg.DERPRegionID]V {
	if m == nil {
		return nil
	}
	theirs := make(map[tailcfg.DERPRegionID]V, len(m))
	for id, v := range m {
		theirs[tailcfg.DERPRegionID(id)] = v
	}
	return theirs
}

// Numbers is Regions the other way.
func Numbers[V any](m map[tailcfg.DERPRegionID]V) map[int]V {
	if m == nil {
		return nil
	}
	ours := make(map[int]V, len(m))
	for id, v := range m {
		ours[int(id)] = v
	}
	return ours
}
