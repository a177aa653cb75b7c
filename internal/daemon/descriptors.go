package daemon

import "github.com/detour-relay/detour/internal/admin"

// fewDescriptors is below what a relay for others should have: each conn takes one,
// and so does each handshake.
const fewDescriptors = 4096

// descriptors returns what the system lets this process open.
func descriptors() admin.Descriptors {
	limit := descriptorLimit()
	return admin.Descriptors{Limit: limit, Few: limit > 0 && limit < fewDescriptors}
}
