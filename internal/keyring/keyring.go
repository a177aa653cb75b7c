// Package keyring holds the mesh keys of a relay, which can be replaced while it runs.
package keyring

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/detour-relay/detour/key"
)

// A Ring is a set of mesh keys. The zero value has none.
type Ring struct {
	keys atomic.Pointer[[]key.Mesh]
}

// Check finds what cannot be a mesh key.
func Check(keys []key.Mesh) error {
	for i, k := range keys {
		if k.IsZero() {
			return fmt.Errorf("MeshKeys[%d] is all zeros, which means no mesh key", i)
		}
	}
	return nil
}

// Replace has the ring hold these keys and no others.
func (r *Ring) Replace(keys []key.Mesh) error {
	if err := Check(keys); err != nil {
		return err
	}
	keys = slices.Clone(keys)
	r.keys.Store(&keys)
	return nil
}

// First is the key to log in with.
func (r *Ring) First() (k key.Mesh, ok bool) {
	keys := r.all()
	if len(keys) == 0 {
		return k, false
	}
	return keys[0], true
}

// Has compares k with every key in constant time.
func (r *Ring) Has(k key.Mesh) bool {
	found := false
	for _, mine := range r.all() {
		if mine.Equal(k) {
			found = true
		}
	}
	return found
}

func (r *Ring) all() []key.Mesh {
	if keys := r.keys.Load(); keys != nil {
		return *keys
	}
	return nil
}
