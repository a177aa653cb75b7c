//go:build unix

package certs

import (
	"os"
	"testing"
)

func TestKeyFilesThatAllCanReadAreWarnedOf(t *testing.T) {
	leaf := issue(t, issuer{}, server(), newECKey(t))
	for mode, lines := range map[os.FileMode]int{0o600: 0, 0o640: 0, 0o644: 1, 0o666: 1} {
		log := new(logbook)
		config := filesIn(t.TempDir(), log)
		put(t, config.CertFile, []byte(pemOf(leaf)))
		put(t, config.KeyFile, []byte(keyPEM(t, leaf.key)))
		if err := os.Chmod(config.KeyFile, mode); err != nil {
			t.Fatal(err)
		}
		_, err := OpenFiles(config)
		if err != nil || log.Lines() != lines || log.Lines("WARN", "k.pem", "can read the certificate's private key") != lines {
			t.Errorf("mode %o: %v %s", mode, err, log)
		}
	}
}
