package mesh

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// stays is a sibling whose link lives until somebody ends it.
func stays(ctx context.Context, to relay.Sibling) error {
	to.Linked(key.NewPrivate().Public())
	<-ctx.Done()
	return ctx.Err()
}

// linkedTo lists who is linked, and since when.
func (w *world) linkedTo() (names []string) {
	for _, s := range w.mesh.Siblings() {
		if s.Status == Linked {
			names = append(names, fmt.Sprintf("%s since %v", s.Name, s.Since.Sub(worldBegan)))
		}
	}
	return names
}

// Who stays keeps the link, who is new is dialled, and who is gone is let go.
func TestPrepareKeepsWhoStays(t *testing.T) {
	entries := func(list string) Config { return Config{Entries: mustParse(t, list)} }
	inWorld(t, entries(""), func(t *testing.T, w *world) {
		for n := range 4 {
			w.set(fmt.Sprintf("10.0.0.%d:443", n), stays)
		}
		w.setDNS("region.example", "10.0.0.2", "10.0.0.3")
		stop := w.run()
		want := func(at time.Duration, cfg Config, links ...string) {
			t.Helper()
			pass(at - time.Since(worldBegan))
			w.change(cfg)
			pass(5 * time.Second)
			if got := w.linkedTo(); !slices.Equal(got, links) {
				t.Errorf("linked to %q, want %q", got, links)
			}
			if open, _ := w.links(); open != len(links) || len(w.mesh.Siblings()) != len(links) {
				t.Errorf("%d links, %v", open, w.mesh.Siblings())
			}
		}
		want(0, entries(""))
		want(time.Minute, entries("10.0.0.1"), "10.0.0.1 since 1m0s")
		want(2*time.Minute, entries("10.0.0.1"), "10.0.0.1 since 1m0s")
		want(3*time.Minute, entries("10.0.0.0,10.0.0.1"), "10.0.0.0 since 3m0s", "10.0.0.1 since 1m0s")
		both := entries("10.0.0.0")
		both.DNS = []string{"region.example", "region.example"}
		want(4*time.Minute, both, "10.0.0.0 since 3m0s", "region.example since 4m0s", "region.example since 4m0s")
		both.RootCAs, both.Rebalance = x509.NewCertPool(), map[string]string{"a": "10.0.0.0"}
		want(5*time.Minute, both, "10.0.0.0 since 3m0s", "region.example since 4m0s", "region.example since 4m0s")
		if w.mesh.roots.Load() != both.RootCAs {
			t.Error("siblings are verified by the roots of before")
		}
		want(6*time.Minute, entries(""))
		want(7*time.Minute, entries("10.0.0.0"), "10.0.0.0 since 7m0s")
		w.log.wantCount(t, "the configuration does not have it any more", 4)
		stop()
		w.change(entries("10.0.0.0,10.0.0.1")) // nobody is there to do it
		if open, _ := w.links(); open != 0 {
			t.Errorf("%d links after the end", open)
		}
	})
}

func TestPrepareRefusesWithoutAChange(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "10.0.0.1")}, func(t *testing.T, w *world) {
		w.set("10.0.0.1:443", stays)
		defer w.run()()
		pass(time.Second)
		for name, cfg := range map[string]Config{
			"DNS":       {DNS: []string{"a b"}},
			"SRV":       {SRV: []string{"10.0.0.1"}},
			"rebalance": {Rebalance: map[string]string{"a": "b"}},
			"twice":     {Entries: append(mustParse(t, "a"), mustParse(t, "a")...)},
		} {
			if _, err := w.mesh.Prepare(cfg); err == nil {
				t.Errorf("%s is taken", name)
			}
		}
		if _, err := w.mesh.Prepare(Config{}); err != nil { // and not applied
			t.Error(err)
		}
		if pass(time.Minute); len(w.linkedTo()) != 1 {
			t.Errorf("linked to %q", w.linkedTo())
		}
	})
}

// What a name led to does not come up again when the name goes in that moment.
func TestPrepareDuringALookup(t *testing.T) {
	inWorld(t, Config{}, func(t *testing.T, w *world) {
		w.set("10.0.0.1:443", stays)
		asked, answer := make(chan struct{}), make(chan struct{})
		w.mesh.config.LookupNetIP = func(context.Context, string, string) ([]netip.Addr, error) {
			close(asked)
			<-answer
			return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
		}
		defer w.run()()
		w.change(Config{DNS: []string{"region.example"}})
		<-asked
		w.change(Config{})
		close(answer)
		pass(time.Minute)
		if all := w.mesh.Siblings(); len(all) > 0 {
			t.Errorf("%v", all)
		}
	})
}
