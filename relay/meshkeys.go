package relay

import (
	"fmt"
	"slices"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

func checkMeshKeys(keys []key.Mesh) error {
	for i, k := range keys {
		if k.IsZero() {
			return fmt.Errorf("MeshKeys[%d] is all zeros, which means no mesh key", i)
		}
	}
	return nil
}

// ReplaceMeshKeys makes keys the mesh keys from now on, instead of those of
// Config. Conns that logged in with a key that is not among them are closed;
// links stay, and the next ones log in with the first key.
func (s *Server) ReplaceMeshKeys(keys []key.Mesh) error {
	if err := checkMeshKeys(keys); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	keys = slices.Clone(keys)
	s.meshKeys.Store(&keys)
	for c := range s.routes.all {
		if c.meshKey != nil && !s.isMeshKey(*c.meshKey) {
			c.close(ErrMeshKeyReplaced)
		}
	}
	return nil
}

// linkMeshKey returns the key that links log in with.
func (s *Server) linkMeshKey() (k key.Mesh, ok bool) {
	keys := *s.meshKeys.Load()
	if len(keys) == 0 {
		return k, false
	}
	return keys[0], true
}

// isMeshKey compares k with every mesh key in constant time.
func (s *Server) isMeshKey(k key.Mesh) bool {
	found := false
	for _, mine := range *s.meshKeys.Load() {
		if mine.Equal(k) {
			found = true
		}
	}
	return found
}

// wrongKeyPause is how long nothing more is logged about wrong mesh keys.
const wrongKeyPause = time.Minute

// noteMeshKey counts a login with a mesh key that is not ours, and tells the
// operator of it: the peer itself is not told, it becomes an ordinary one (spec
// 18.6).
func (s *Server) noteMeshKey(c *conn, info derp.ClientInfo) {
	if c.sibling || info.MeshKey.IsZero() {
		return
	}
	n := s.count.wrongMeshKeys.Add(1)
	last := s.wrongKeyLogged.Load()
	now := s.now()
	if (last == 0 || now-last > int64(wrongKeyPause)) && s.wrongKeyLogged.CompareAndSwap(last, now) {
		s.cfg.Logger.Warn("a peer has a mesh key that is not ours: compare the mesh keys of the region's relays",
			"peer", c.key.Short(), "addr", c.addr, "count", n)
	}
}
