package mesh

import (
	"crypto/tls"
	"time"
)

// tlsConfig verifies the certificate for the target's host, by the pin if there
// is one.
func (d dialer) tlsConfig(to target) *tls.Config {
	config := &tls.Config{
		ServerName: to.verifyName(), // goes out if it is a name, not if it is an address
		RootCAs:    d.roots,
		MinVersion: tls.VersionTLS12,
		// Bursts are large, and a quiet link does not need its records small.
		DynamicRecordSizingDisabled: true,
	}
	if !to.Pin.IsZero() {
		// crypto/tls would build a chain; VerifyConnection always runs.
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error {
			return to.Pin.Verify(state.PeerCertificates, to.verifyName(), time.Now())
		}
	}
	return config
}
