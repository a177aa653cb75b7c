package coordnats

import (
	"log/slog"
	"testing"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/coordstore/storetest"
)

func openStore(t *testing.T, c Config) *Store {
	t.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// beside returns another store on the engine of one: what another coordinator of a
// cluster, or of NATS servers of others, has.
func beside(t *testing.T, s *Store) *Store {
	t.Helper()
	other := newStore(Config{Logger: s.config.Logger, Replicas: s.replicas()})
	urls, options := s.engine.dial()
	if err := other.open(t.Context(), urls, options); err != nil {
		t.Fatal(err)
	}
	return other
}

func remake(t *testing.T, s *Store, bucket string) {
	t.Helper()
	if err := s.writer.DeleteStream(t.Context(), streamOf(bucket)); err != nil {
		t.Fatal(err)
	}
	if err := s.awaitBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
}

func fixtureOf(t *testing.T, s *Store) storetest.Fixture {
	return storetest.Fixture{
		Store:   s,
		Another: func(t *testing.T) coordstore.Store { return beside(t, s) },
		Remake:  func(t *testing.T, bucket string) { remake(t, s, bucket) },
	}
}

func TestEmbeddedIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		return fixtureOf(t, openStore(t, Config{Dir: t.TempDir()}))
	})
}
