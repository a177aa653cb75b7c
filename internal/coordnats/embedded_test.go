package coordnats

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
	other.ends.Store(s.ends.Load())
	urls, options := s.engine.dial()
	if err := other.open(t.Context(), urls, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
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

// purge removes what stands at a key without a trace, as the end of a delete's time
// does.
func (s *Store) purge(t *testing.T, bucket, key string) error {
	stream, err := s.writer.Stream(t.Context(), streamOf(bucket))
	if err != nil {
		return err
	}
	return stream.Purge(t.Context(), jetstream.WithPurgeSubject(subjectOf(bucket, key)))
}

// Who does not have the token of this process is not let in.
func TestStrangersOfThisMachineAreNotLetIn(t *testing.T) {
	s := openStore(t, Config{Dir: t.TempDir()})
	url, _ := s.engine.dial()
	for name, with := range map[string][]nats.Option{
		"nothing": nil, "a token": {nats.Token("x")}, "a password": {nats.UserInfo("coordinator", s.engine.token)},
	} {
		if c, err := nats.Connect(url, with...); err == nil {
			c.Close()
			t.Errorf("who has %s was let in", name)
		}
	}
}

func TestConfigsThatCannotBe(t *testing.T) {
	secret := [][]byte{make([]byte, 32)}
	three := map[string]string{"one": "127.0.0.1:1", "two": "127.0.0.1:2", "three": "127.0.0.1:3"}
	for name, c := range map[string]Config{
		"nothing":           {},
		"both":              {Dir: "x", URLs: []string{"nats://x"}},
		"cluster of URLs":   {URLs: []string{"nats://x"}, Cluster: &Cluster{Name: "one", Routes: three, Secrets: secret}},
		"replicas of a dir": {Dir: "x", Replicas: 3},
		"too many":          {URLs: []string{"nats://x"}, Replicas: 7},
		"unknown name":      {Dir: "x", Cluster: &Cluster{Name: "four", Routes: three, Secrets: secret}},
		"two":               {Dir: "x", Cluster: &Cluster{Name: "one", Routes: map[string]string{"one": "a:1", "two": "b:1"}, Secrets: secret}},
		"no secret":         {Dir: "x", Cluster: &Cluster{Name: "one", Routes: three}},
		"short secret":      {Dir: "x", Cluster: &Cluster{Name: "one", Routes: three, Secrets: [][]byte{{1}}}},
		"no port":           {Dir: "x", Cluster: &Cluster{Name: "one", Routes: map[string]string{"one": "a", "two": "b:1", "three": "c:1"}, Secrets: secret}},
		"no port, listen":   {Dir: "x", Cluster: &Cluster{Name: "one", Listen: "x", Routes: three, Secrets: secret}},
	} {
		if err := c.check(); err == nil {
			t.Errorf("%s: it passes", name)
		}
	}
}

// The address of a cluster that somebody else has is found before the engine is started,
// which would go on without.
func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := Config{Dir: t.TempDir(), Cluster: &Cluster{
		Name: "a", Routes: map[string]string{"a": taken.Addr().String(), "b": "127.0.0.1:1", "c": "127.0.0.1:2"},
		Secrets: [][]byte{bytes.Repeat([]byte("s"), 32)},
	}}
	if s, err := Open(t.Context(), c); !errors.Is(err, ErrAddress) {
		t.Errorf("%v, %v", s, err)
	}
}
