package relay

import (
	"fmt"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// ReplaceMeshKeys makes keys the mesh keys from now on, instead of those of
// Config. Conns that logged in with a key that is not among them are closed;
// links stay, and the next ones log in with the first key.
func (s *Server) ReplaceMeshKeys(keys []key.Mesh) error {
	if err := s.meshKeys.Replace(keys); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	for c := range s.routes.all {
		if c.meshKey != nil && !s.meshKeys.Has(*c.meshKey) {
			c.close(ErrMeshKeyReplaced)
		}
	}
	return nil
}

// noteMeshKey counts a login with a mesh key that is not ours, and tells the
// operator of it: the peer itself is not told, it becomes an ordinary one (spec
// 18.6). That is logged once a minute at most.
func (s *Server) noteMeshKey(c *conn, info derp.ClientInfo) {
	if c.sibling || info.MeshKey.IsZero() {
		return
	}
	n := s.count.wrongMeshKeys.Add(1)
	if s.wrongKeyLines.Due(time.Duration(s.now())) {
		s.cfg.Logger.Warn("a peer has a mesh key that is not ours: compare the mesh keys of the region's relays",
			"peer", c.key.Short(), "addr", c.addr, "count", n)
	}
}
