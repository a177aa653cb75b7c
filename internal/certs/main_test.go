package certs

import (
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logbook keeps what was logged, as text lines.
type logbook struct{ logtest.Log }

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// put writes a file for a test.
func put(t *testing.T, path string, text []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pairOf returns the pair for a peer that names nothing.
func pairOf(src Source) *tls.Certificate {
	pair, err := src.Certificate(nil)
	if err != nil {
		panic(err) // neither source fails once it is open
	}
	return pair
}

func pinUntil(src Source) (pin string, until time.Time) {
	d := src.Describe()
	return d.Pin, d.Until
}

func nextPin(src Source) (pin string, from time.Time, ok bool) {
	d := src.Describe()
	if d.NextFrom == nil {
		return "", time.Time{}, false
	}
	return d.NextPin, *d.NextFrom, true
}

func readFile(path string) ([]byte, error) { return os.ReadFile(path) }
