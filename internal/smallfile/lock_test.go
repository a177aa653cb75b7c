//go:build windows || (unix && !solaris && !illumos && !aix)

package smallfile

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestOneHoldsALock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.lock")
	release, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	release()
	again, err := Lock(path)
	if err != nil {
		t.Fatalf("after it was let go: %v", err)
	}
	again()
}

func TestLockWithoutADirectory(t *testing.T) {
	if _, err := Lock(filepath.Join(t.TempDir(), "none", "f.lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
