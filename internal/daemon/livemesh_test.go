package daemon

import (
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/meshkey"
)

// From a relay alone to one of a region and back, and no link is touched that stays.
func TestMeshIsLive(t *testing.T) {
	dir := t.TempDir()
	shared := filepath.Join(dir, "mesh.key")
	if err := meshkey.Create(shared, meshkey.New()); err != nil {
		t.Fatal(err)
	}
	var urls []string
	for range 2 {
		c := plain()
		c.Mesh.KeyFile = shared
		sibling := open(t, c, Options{})
		run(t, sibling)
		urls = append(urls, "http://"+sibling.State().Listen)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(urls[1], "http://"))
	byName := "http://localhost:" + port

	r := startRunning(t, plain(), Options{})
	since := map[string]time.Time{}
	linked := func(names ...string) {
		t.Helper()
		eventually(t, strings.Join(names, " and ")+" linked, and nobody else", func() bool {
			found := map[string]bool{}
			for _, s := range r.State().Siblings {
				if s.Status == mesh.Linked {
					if before, known := since[s.Name]; known && !before.Equal(s.Since) {
						t.Fatalf("the link to %s was made anew", s.Name)
					}
					found[s.Name], since[s.Name] = true, s.Since
				}
			}
			for _, name := range names {
				if !found[name] {
					return false
				}
			}
			return len(found) == len(names)
		})
	}
	linked()
	r.change(t, func(c *config.Config) { c.Mesh.With, c.Mesh.KeyFile = urls[:1], shared })
	linked(urls[0])
	r.change(t, func(c *config.Config) { c.Mesh.With, c.Mesh.CA = urls, authority(t, dir) })
	linked(urls...)
	r.change(t, func(c *config.Config) { c.Mesh.Rebalance = map[string]string{"node": urls[0]} })
	linked(urls...)

	for name, change := range map[string]func(*config.Mesh){
		"mesh.key-file":  func(m *config.Mesh) { m.KeyFile = "" },
		"nobody.key":     func(m *config.Mesh) { m.KeyFile = filepath.Join(dir, "nobody.key") },
		"mesh.ca":        func(m *config.Mesh) { m.CA = shared },
		"node other":     func(m *config.Mesh) { m.Rebalance = map[string]string{"other": "c"} },
		"mesh.rebalance": func(m *config.Mesh) { m.With, m.CA = nil, "" },
	} {
		next := r.Config()
		change(&next.Mesh)
		if _, err := r.Reload(next); err == nil || !strings.Contains(err.Error(), name) || errors.Is(err, ErrRestart) {
			t.Errorf("%s: %v", name, err)
		}
		linked(urls...)
	}

	r.change(t, func(c *config.Config) {
		c.Mesh = config.Mesh{KeyFile: shared, With: urls[:1], DNS: []string{byName}}
	})
	linked(urls[0], byName)
	r.change(t, func(c *config.Config) { c.Mesh = config.Mesh{} })
	linked()
	if all := r.State().Siblings; len(all) > 0 {
		t.Errorf("%+v", all)
	}
}

// authority is a file with the certificate of some authority.
func authority(t *testing.T, dir string) string {
	t.Helper()
	c := plain()
	c.Dev, c.TLS.Mode, c.Hostname, c.StateDir = false, config.TLSSelf, "ca.example", filepath.Join(dir, "ca")
	leaf := open(t, c, Options{}).State().Certificate.Leaf
	path := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
