package cli

import (
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/certs"
)

// CertificateText says in a line where a certificate comes from and how long it lasts, or
// that it is still to come.
func CertificateText(d certs.Description) string {
	if d.Until.IsZero() {
		return d.Source + ", for " + strings.Join(d.Names, ", ") + ": there is none yet"
	}
	return d.Source + ", until " + d.Until.Format(time.DateOnly)
}
