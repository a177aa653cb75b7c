//go:build unix

package coordnats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/coordstore/storetest"
)

// Three in one process, which start at the same time.
func TestThreeEmbeddedAreAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		stores := make([]*Store, 3)
		var all sync.WaitGroup
		for i, p := range newCluster(t, 3) {
			all.Go(func() {
				s, err := Open(t.Context(), p.config)
				if err != nil {
					t.Error(err)
					return
				}
				stores[i] = s
				t.Cleanup(func() { s.Close() })
			})
		}
		all.Wait()
		if t.Failed() {
			t.FailNow()
		}
		f := fixtureOf(t, stores[0])
		next := 0
		f.Another = func(t *testing.T) coordstore.Store { next++; return beside(t, stores[1+next%2]) }
		return f
	})
}

// follow watches a bucket by a store until the test ends.
func follow(t testing.TB, s *Store, bucket string) *storetest.Recorder {
	t.Helper()
	r := &storetest.Recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { coordstore.Follow(ctx, s, bucket, r, slog.New(slog.DiscardHandler)) })
	t.Cleanup(func() { cancel(); done.Wait() })
	r.AwaitCurrent(t, 1)
	return r
}

// Whichever of three is killed or paused, the others go on: what was acknowledged
// stands there, and those who watch there are never told that something is gone.
func TestOneOfThreeMayDie(t *testing.T) {
	t.Parallel()
	all := startCluster(t)
	stands := map[string]uint64{}
	for i, victim := range all {
		other, third := all[(i+1)%3].store(t), all[(i+2)%3].store(t)
		recorders := []*storetest.Recorder{follow(t, other, coordstore.Hard), follow(t, third, coordstore.Hard)}
		for _, fault := range []struct {
			name          string
			begin, finish func()
		}{
			{"killed", victim.kill, func() { victim.start(t); victim.await(t) }},
			{"paused", victim.pause, victim.resume},
		} {
			fault.begin()
			for n, s := range []*Store{other, third} {
				name := fmt.Sprintf("%s.%s.%d", victim.config.Cluster.Name, fault.name, n)
				stands[name] = insist(t, s, coordstore.Hard, name)
				insist(t, s, coordstore.Soft(3*i+n), name)
			}
			if i == 0 { // it takes until the next look at the engine
				awaitBehind(t, other)
			}
			fault.finish()
			awaitReplicas(t, other)
			for _, r := range recorders {
				awaitAll(t, r, stands)
			}
		}
		for _, r := range recorders {
			if gone := r.Gone(); len(gone) > 0 {
				t.Errorf("while %s was away it was told that %q are gone", victim.config.Cluster.Name, gone)
			}
		}
		other.Close()
		third.Close()
	}
	for _, p := range all {
		p.stop(t)
	}
}

// insist creates a key, again and again until it is there.
func insist(t testing.TB, s *Store, bucket, name string) uint64 {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		revision, err := s.Create(ctx, bucket, name, []byte("x"))
		cancel()
		if err == nil {
			return revision
		}
		if errors.Is(err, coordstore.ErrConflict) { // a write of which no answer came
			m, err := s.standing(t.Context(), bucket, name)
			if err == nil && m != nil {
				return m.Sequence
			}
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// awaitReplicas waits until all replicas of the hard bucket have all.
func awaitReplicas(t testing.TB, s *Store) {
	t.Helper()
	for t.Context().Err() == nil {
		info, err := s.ask(t.Context(), coordstore.Hard)
		if err == nil {
			current := 0
			for _, r := range replicasOf(info.Cluster) {
				if r.Current {
					current++
				}
			}
			if current == 3 {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// awaitBehind waits until the state says that a replica lacks something, and how much.
func awaitBehind(t testing.TB, s *Store) {
	t.Helper()
	for t.Context().Err() == nil {
		for _, r := range s.State().Replicas {
			if !r.Current && r.Lag > 0 {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func awaitAll(t *testing.T, r *storetest.Recorder, stands map[string]uint64) {
	t.Helper()
	for name, revision := range stands {
		r.AwaitRevision(t, name, revision)
	}
}

// With one of three there is no quorum: a write fails as one that may pass, and the
// state says so; with the second it goes on.
func TestNoQuorumIsUnavailable(t *testing.T) {
	t.Parallel()
	all := startCluster(t)
	s := all[0].store(t)
	r := follow(t, s, coordstore.Hard)
	one := insist(t, s, coordstore.Hard, "before")
	r.AwaitRevision(t, "before", one)
	all[1].kill()
	all[2].kill()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := s.Update(ctx, coordstore.Hard, "before", []byte("y"), one); !errors.Is(err, coordstore.ErrUnavailable) {
		t.Errorf("a write without a quorum: %v", err)
	}
	if state := s.State(); state.Writable || state.Reason == "" {
		t.Errorf("the state is %+v", state)
	}
	if len(r.Values()) != 1 || len(r.Gone()) != 0 {
		t.Errorf("the watcher has %v, and was told that %q are gone", r.Values(), r.Gone())
	}
	all[1].start(t)
	all[1].await(t)
	revision := insist(t, s, coordstore.Hard, "after")
	r.AwaitRevision(t, "after", revision)
}

// A server that others run: built from its module, killed and started again.
func TestNATSServerIsAStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "nats-server")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	settings := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(settings, []byte("max_payload: 5MB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	var server *exec.Cmd
	start := func(t *testing.T) {
		server = exec.Command(program, "-js", "-sd", filepath.Join(dir, "data"), "-a", "127.0.0.1", "-p", port, "-auth", "secret", "-c", settings)
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	kill := func(*testing.T) { server.Process.Kill(); server.Wait() }
	start(t)
	t.Cleanup(func() { kill(t) })
	open := func(t *testing.T) *Store {
		for {
			s, err := Open(t.Context(), Config{URLs: []string{"nats://" + address}, Token: "secret", Logger: logTo(t)})
			if err == nil {
				t.Cleanup(func() { s.Close() })
				return s
			}
			if t.Context().Err() != nil || !errors.Is(err, nats.ErrNoServers) {
				t.Fatal(err)
			}
		}
	}
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		s := open(t)
		f := fixtureOf(t, s)
		f.Another = func(t *testing.T) coordstore.Store { return open(t) }
		f.Break = kill
		f.Heal = func(t *testing.T) {
			start(t)
			insist(t, s, coordstore.Hard, "healed")
		}
		return f
	})
}

// A coordinator that finds no quorum says whom it waits for.
func TestOpenWaitsForAQuorum(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var said bytes.Buffer
	c := newCluster(t, 3)[0].config
	c.Logger = slog.New(slog.NewTextHandler(&said, nil))
	s, err := Open(ctx, c)
	if err == nil {
		s.Close()
		t.Fatal("it opened alone")
	}
	const want = "waits for three and two"
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) || !strings.Contains(said.String(), want) {
		t.Errorf("%v; the log has\n%s", err, said.String())
	}
}

// A coordinator whose secret is another one is told apart from one that is not there.
func TestOpenTellsOfAnotherSecret(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const want = "another cluster secret"
	var all sync.WaitGroup
	for i, p := range newCluster(t, 3)[:2] {
		c := p.config
		c.Cluster.Secrets = [][]byte{bytes.Repeat([]byte{byte(i)}, 32)}
		c.Logger = slog.New(slog.NewTextHandler(writerFunc(func(line []byte) {
			if strings.Contains(string(line), want) {
				cancel()
			}
		}), nil))
		all.Go(func() {
			s, err := Open(ctx, c)
			if err == nil {
				s.Close()
				t.Error("it opened with a stranger")
			} else if !errors.Is(ctx.Err(), context.Canceled) {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

type writerFunc func(line []byte)

func (f writerFunc) Write(line []byte) (int, error) {
	f(line)
	return len(line), nil
}
