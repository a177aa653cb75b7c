package daemon

import (
	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/front"
)

// fewDescriptors is below what a relay for others should have: each conn takes one,
// and so does each handshake.
const fewDescriptors = 4096

// descriptors returns what the system lets this process open.
func descriptors() admin.Descriptors {
	limit := front.DescriptorLimit()
	return admin.Descriptors{Limit: limit, Few: limit > 0 && limit < fewDescriptors}
}
