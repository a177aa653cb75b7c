package daemon

// fewDescriptors is below what a relay for others should have: each conn takes one,
// and so does each handshake.
const fewDescriptors = 4096

// Descriptors are what the system lets this process open. Its JSON names are stable.
type Descriptors struct {
	Limit uint64 `json:"limit"` // files and sockets; 0: none that is known
	Few   bool   `json:"few"`   // too few for a relay of any size
}

func descriptors() Descriptors {
	limit := descriptorLimit()
	return Descriptors{Limit: limit, Few: limit > 0 && limit < fewDescriptors}
}
