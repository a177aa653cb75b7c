package interop

import (
	"context"
	"testing"

	"github.com/detour-relay/detour/client"
	ourkey "github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/test/interop/programs"
	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// What a peer calls itself gets to the watchers of its relay, of either program.
func TestTheirWatcherLearnsAppNames(t *testing.T) {
	for _, program := range []string{"detour", "derper"} {
		t.Run(program, func(t *testing.T) {
			relay := programs.StartRegion(t, programs.NewMeshKey(), programs.Sibling{Program: program})[0]
			watcher := newTheirWatcher(t, relay)
			secret := ourkey.NewPrivate()
			login(t, relay, client.Config{Key: secret, AppName: "interop 1.0"})
			if got := watcher.presenceOf(t, theirPublic(secret.Public())); got.AppName != "interop 1.0" {
				t.Errorf("the watcher was told %s", show(got))
			}
			nameless := ourkey.NewPrivate()
			login(t, relay, client.Config{Key: nameless})
			if got := watcher.presenceOf(t, theirPublic(nameless.Public())); got.AppName != "" {
				t.Errorf("the watcher was told %s of a peer without a name", show(got))
			}
		})
	}
}

// A derper that refuses a name does not admit who has it, and admits others.
func TestDerperRefusesAppNames(t *testing.T) {
	relay := programs.StartRegion(t, programs.NewMeshKey(),
		programs.Sibling{Program: "derper", Args: []string{"-disallow-app-names=unwanted"}})[0]
	for name, admitted := range map[string]bool{"unwanted": false, "wanted": true, "": true} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, _, err := client.Login(ctx, client.Config{URL: relay.URL, CertName: relay.Pin, Key: ourkey.NewPrivate(), AppName: name})
		if (err == nil) != admitted {
			t.Errorf("%q: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

func login(t *testing.T, relay *programs.Relay, config client.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	config.URL, config.CertName = relay.URL, relay.Pin
	conn, _, err := client.Login(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
}

// presenceOf waits until the watcher is told of a peer.
func (w *theirWatcher) presenceOf(t *testing.T, peer key.NodePublic) derp.PeerPresentMessage {
	t.Helper()
	for {
		if m, ok := w.next(t).(derp.PeerPresentMessage); ok && m.Key == peer {
			return m
		}
	}
}
