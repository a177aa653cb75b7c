package vouch

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/key"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const aKey = "nodekey:a98ae75c58834014a6c389357fc1d624eef146ba9d5f7c338304d118eb54871a"

// k is a key that is told by its number.
func k(n int) (p key.Public) {
	binary.BigEndian.PutUint64(p[:], uint64(n))
	p[31] = 1
	return p
}

func writeFile(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
