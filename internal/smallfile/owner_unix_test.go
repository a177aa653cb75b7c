//go:build unix

package smallfile

import (
	"os"
	"path/filepath"
	"testing"
)

// What root writes or locks in the directory of a service stays usable for the service. Another user has nothing to give away,
// so that all belongs to the user either way.
func TestRootLeavesFilesToTheirOwner(t *testing.T) {
	owner := os.Geteuid()
	if owner == 0 {
		owner = 65534
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, dir} {
		if err := os.Chown(p, owner, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteOver(path, []byte("new"), ModeSecret); err != nil {
		t.Fatal(err)
	}
	release, err := Lock(path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	release()
	for _, p := range []string{path, path + ".lock"} {
		if s, ok := statOf(p); !ok || int(s.Uid) != owner {
			t.Errorf("%s belongs to %d, want %d", p, s.Uid, owner)
		}
		if other := OtherOwner(p); (other != "") != (owner != os.Geteuid()) {
			t.Errorf("%s: %q", p, other)
		}
	}
	// A file in somebody else's directory is that of who writes it.
	if err := os.Chown(dir, os.Geteuid(), -1); err != nil {
		t.Fatal(err)
	}
	if err := WriteOver(path, []byte("newer"), ModeSecret); err != nil {
		t.Fatal(err)
	}
	if s, ok := statOf(path); !ok || int(s.Uid) != os.Geteuid() {
		t.Errorf("it belongs to %d", s.Uid)
	}
}
