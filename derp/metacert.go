package derp

import (
	"strings"

	"github.com/detour-relay/detour/key"
)

// A relay appends to its certificate chain one more certificate, the meta certificate, whose common name tells its public
// key and whose serial number the protocol version, so that a peer need not wait for the ServerKey frame.
const metaCertPrefix = "derpkey"

// MetaCertName returns the common name of a relay's meta certificate.
func MetaCertName(relay key.Public) string { return metaCertPrefix + relay.Hex() }

// IsMetaCertName reports whether a certificate's common name is that of a meta certificate, if perhaps one of a later version.
func IsMetaCertName(commonName string) bool { return strings.HasPrefix(commonName, metaCertPrefix) }

// ParseMetaCertName returns the relay's key in a certificate's common name, or false if it is not that of a meta
// certificate.
func ParseMetaCertName(commonName string) (relay key.Public, ok bool) {
	digits, ok := strings.CutPrefix(commonName, metaCertPrefix)
	if !ok {
		return relay, false
	}
	relay, err := key.ParsePublicHex(digits)
	return relay, err == nil && !relay.IsZero()
}
