package acme

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/internal/smallfile"
)

// lockLook is how often a lock is tried that another process has.
const lockLook = 200 * time.Millisecond

// Files is a storage in a directory. Its locks are the system's: they end with the
// process that has them, however it ends, and need nobody who keeps them fresh.
type Files struct {
	*certmagic.FileStorage

	mu   sync.Mutex
	held map[string]func() // what ends a lock, guarded by mu
}

// NewFiles returns the storage of a directory.
func NewFiles(dir string) *Files {
	return &Files{FileStorage: &certmagic.FileStorage{Path: dir}, held: make(map[string]func())}
}

// mostFile bounds what is read: a chain with its key has a few kilobytes.
const mostFile = 1 << 20

// Load implements certmagic.Storage. It never hangs, whatever is in the place of a file.
func (f *Files) Load(_ context.Context, key string) ([]byte, error) {
	return smallfile.Read(f.Filename(key), mostFile)
}

// Store implements certmagic.Storage. Its errors are always the same, for who tells
// something new only.
func (f *Files) Store(_ context.Context, key string, value []byte) error {
	path := f.Filename(key)
	if err := smallfile.MakeDir(filepath.Dir(path)); err != nil {
		return err
	}
	return smallfile.WriteOver(path, value, smallfile.ModeSecret)
}

// Delete implements certmagic.Storage. What is not there is deleted.
func (f *Files) Delete(_ context.Context, key string) error {
	if err := os.Remove(f.Filename(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return smallfile.ExplainWrite(f.Filename(key), err)
	}
	return nil
}

// Lock implements certmagic.Locker.
func (f *Files) Lock(ctx context.Context, name string) error {
	dir := filepath.Join(f.Path, "locks")
	if err := smallfile.MakeDir(dir); err != nil {
		return err
	}
	for {
		release, err := smallfile.Lock(filepath.Join(dir, certmagic.StorageKeys.Safe(name)+".lock"))
		if err == nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.held[name] = release
			return nil
		}
		if !errors.Is(err, smallfile.ErrLocked) {
			return err
		}
		if !retry.Rest(ctx, lockLook, nil) {
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
}

// Unlock implements certmagic.Locker.
func (f *Files) Unlock(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	release := f.held[name]
	if release == nil {
		return fmt.Errorf("%s is not locked", name)
	}
	delete(f.held, name)
	release()
	return nil
}
