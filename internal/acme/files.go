package acme

import (
	"context"
	"errors"
	"fmt"
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
