package tailnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// bubble runs a test in fake time against coordinators.
func bubble(t *testing.T, replicas int, test func(t *testing.T, f *fake)) {
	synctest.Test(t, func(t *testing.T) { test(t, newFake(t, replicas)) })
}

// events notes what OnEvent is told.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) add(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

// take returns the events since the last time, in short.
func (e *events) take() (texts []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.all {
		text := string(event.Type)
		if event.Peer.Name != "" {
			text += " " + event.Peer.Name
		}
		texts = append(texts, text)
	}
	e.all = nil
	return texts
}

func (f *fake) config(t *testing.T, change ...func(*Config)) Config {
	cfg := Config{StateFile: filepath.Join(t.TempDir(), "state.json"), Name: "me", DialContext: f.dial}
	for _, c := range change {
		c(&cfg)
	}
	return cfg
}

func open(t *testing.T, cfg Config) *Member {
	t.Helper()
	m, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// bare is a member that does nothing by itself.
func bare() *Member {
	return &Member{
		log: slog.New(slog.DiscardHandler), dirty: make(chan struct{}, 1), due: make(chan struct{}, 1),
		view: view{self: Self{Key: key.Public{9}}, peers: make(map[key.Public]Peer)},
	}
}

// joined is a new member, connected.
func joined(t *testing.T, f *fake, change ...func(*Config)) (*Member, Config) {
	t.Helper()
	cfg := f.config(t, change...)
	cfg.Invite = f.invite(1)
	m := open(t, cfg)
	cfg.Invite = ""
	settle(t, m, Connected)
	return m, cfg
}

// settle waits until nothing happens any more, and wants the phase.
func settle(t *testing.T, m *Member, want Phase) {
	t.Helper()
	time.Sleep(2 * time.Second)
	synctest.Wait()
	if s := m.State(); s.Phase != want {
		t.Fatalf("it is %s (%v), want %s", s.Phase, s.Err, want)
	}
}

func peerNamed(name string, home int) coordapi.Peer {
	return coordapi.Peer{Key: key.NewPrivate().Public(), Name: name, Home: home, Addresses: []netip.Addr{netip.MustParseAddr("100.64.9.9")}}
}

// sameView compares what a member knows with what the coordinators have.
func sameView(t *testing.T, m *Member, f *fake) {
	t.Helper()
	want, got := f.peersBut(m.Self().Key), m.Peers()
	if !slices.EqualFunc(want, got, func(a coordapi.Peer, b Peer) bool { return cleanPeer(a).same(b) }) {
		t.Errorf("it knows %v,\nwant %v", names(got), want)
	}
}

func names(peers []Peer) (all []string) {
	for _, p := range peers {
		all = append(all, fmt.Sprintf("%s@%d", p.Name, p.Home))
	}
	return all
}

func TestAMemberJoinsAndIsTold(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		var told events
		f.put(peerNamed("anna", 900))
		f.setMap(twoRegions)
		m, _ := joined(t, f, func(c *Config) { c.OnEvent = told.add })
		if got := told.take(); !slices.Equal(got, []string{"map-changed", "peer-added anna", "connected"}) {
			t.Errorf("told %v", got)
		}
		self := m.Self()
		if self.Tailnet != fakeTailnet || self.TailnetName != "home" || self.Name != "me" || len(self.Addresses) != 1 {
			t.Errorf("self is %+v", self)
		}
		sameView(t, m, f)
		if m.Map() == nil || len(m.Map().IDs()) != 2 {
			t.Error("it has no map")
		}

		ben := peerNamed("ben", 0)
		f.put(ben)
		synctest.Wait()
		ben.Home = 901
		f.put(ben)
		synctest.Wait()
		f.remove(ben.Key)
		synctest.Wait()
		if got := told.take(); !slices.Equal(got, []string{"peer-added ben", "peer-changed ben", "peer-gone ben"}) {
			t.Errorf("told %v", got)
		}
		if s := m.State(); s.Stale || s.Coordinator != "http://127.0.0.1" || !s.Current.Equal(time.Now()) {
			t.Errorf("state is %+v", s)
		}
	})
}

// With a state file nothing is asked before Open returns, and all is there.
func TestAStateFileNeedsNoCoordinator(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		f.put(peerNamed("anna", 900))
		f.setMap(twoRegions)
		m, cfg := joined(t, f)
		before := m.State().Current
		self := m.Self()
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		f.replicas[0].kill()
		time.Sleep(time.Hour)
		m = open(t, cfg)
		sameView(t, m, f)
		if s := m.State(); m.Map() == nil || s.Phase != Away || !s.Current.Equal(before) {
			t.Errorf("state is %+v, want that of %v; map %v", s, before, m.Map())
		}
		if again := m.Self(); again.Key != self.Key || again.Name != self.Name || again.TailnetName != self.TailnetName {
			t.Errorf("it is %+v, want %+v", again, self)
		}
		settle(t, m, Away)
		if s := m.State(); s.Err == nil || s.Retry.IsZero() {
			t.Errorf("it does not say why: %+v", s)
		}
		f.replicas[0].revive()
		m.NetworkChanged()
		settle(t, m, Connected)
	})
}

// Who waits for a peer gets it when its home is told, not before.
func TestAPeerIsWaitedFor(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, cfg := joined(t, f)
		anna, began := peerNamed("anna", 0), time.Now()
		f.put(anna)
		go func() {
			time.Sleep(time.Hour)
			anna.Home = 901
			f.put(anna)
		}()
		p, err := m.AwaitPeer(t.Context(), "anna")
		if err != nil || p.Home != 901 || p.Key != anna.Key || time.Since(began) != time.Hour {
			t.Errorf("%+v, %v after %v", p, err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := m.AwaitPeer(ctx, "ben"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody: %v", err)
		}
		m.Close()
		if _, err := m.AwaitPeer(t.Context(), "ben"); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		f.replicas[0].kill()
		if p, err := open(t, cfg).AwaitPeer(t.Context(), "anna"); err != nil || p.Home != 901 {
			t.Errorf("from the state file: %+v, %v", p, err)
		}
	})
}

// Who is back gets what has changed, not everything.
func TestAMemberResumes(t *testing.T) {
	bubble(t, 2, func(t *testing.T, f *fake) {
		var told events
		anna, ben, cleo := peerNamed("anna", 900), peerNamed("ben", 900), peerNamed("cleo", 900)
		f.put(anna)
		f.put(ben)
		m, _ := joined(t, f, func(c *Config) { c.OnEvent = told.add })
		told.take()
		f.replicas[0].kill()
		f.remove(anna.Key)
		f.put(cleo)
		settle(t, m, Connected)
		if got := told.take(); !slices.Equal(got, []string{"away", "peer-added cleo", "peer-gone anna", "connected"}) {
			t.Errorf("told %v", got)
		}
		sameView(t, m, f)
		if s := m.State(); s.Coordinator != "http://127.0.0.2" {
			t.Errorf("it is at %s", s.Coordinator)
		}
	})
}

// After a snapshot that is whole, who was not told of is gone; one that breaks says nothing.
func TestOnlyAWholeSnapshotSaysWhoIsGone(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		var told events
		anna, ben := peerNamed("anna", 900), peerNamed("ben", 900)
		f.put(anna)
		f.put(ben)
		m, _ := joined(t, f, func(c *Config) { c.OnEvent = told.add })
		told.take()
		f.mu.Lock()
		f.replicas[0].script = scripted(coordapi.Event{Type: coordapi.EventSnapshot}, coordapi.Event{Type: coordapi.EventPeer, Peer: &anna})
		f.mu.Unlock()
		f.replicas[0].kill()
		f.replicas[0].revive()
		settle(t, m, Away)
		if got := told.take(); !slices.Equal(got, []string{"away"}) || len(m.Peers()) != 2 {
			t.Errorf("told %v", got)
		}
		f.mu.Lock()
		f.replicas[0].script = nil
		f.mu.Unlock()
		f.renew("e2")
		f.remove(ben.Key)
		f.renew("e3")
		m.NetworkChanged()
		settle(t, m, Connected)
		if got := told.take(); !slices.Equal(got, []string{"peer-gone ben", "connected"}) {
			t.Errorf("told %v", got)
		}
		sameView(t, m, f)
	})
}

func TestAnotherCoordinatorAfterSilence(t *testing.T) {
	bubble(t, 2, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		f.mu.Lock()
		f.replicas[0].silent = true
		f.mu.Unlock()
		time.Sleep(coordapi.SilenceTime)
		settle(t, m, Connected)
		if s := m.State(); s.Coordinator != "http://127.0.0.2" {
			t.Errorf("it is at %s", s.Coordinator)
		}
	})
}

// Connections that have died without a word are not used again, neither after the silence of
// the stream nor when the network has changed.
func TestConnectionsThatAreDeadAreLeft(t *testing.T) {
	for name, then := range map[string]func(m *Member){
		"the network changes": (*Member).NetworkChanged,
		"silence":             func(*Member) { time.Sleep(coordapi.SilenceTime) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, f *fake) {
				anna := peerNamed("anna", 900)
				f.put(anna)
				m, _ := joined(t, f)
				if _, err := m.Ask(t.Context(), anna.Key); err != nil { // over a connection besides the stream's
					t.Fatal(err)
				}
				streams := f.count("GET /v1/watch")
				f.replicas[0].mute()
				then(m)
				settle(t, m, Connected)
				if n := f.count("GET /v1/watch"); n != streams+1 {
					t.Errorf("%d new streams", n-streams)
				}
			})
		})
	}
}

// A machine that has slept does not wait for a stream that is long dead, nor out its pause.
func TestAMachineThatHasSlept(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		var slept atomic.Int64
		m, _ := joined(t, f, func(c *Config) {
			c.wall = func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
		})
		streams := f.count("GET /v1/watch")
		f.replicas[0].mute()
		f.forgetSessions()
		slept.Store(int64(3 * time.Hour))
		time.Sleep(awakeLook)
		settle(t, m, Connected)
		if n := f.count("GET /v1/watch"); n == streams {
			t.Error("it trusts the old stream")
		}

		f.replicas[0].kill()
		time.Sleep(10 * time.Minute)
		f.replicas[0].revive()
		slept.Store(int64(6 * time.Hour))
		time.Sleep(awakeLook)
		settle(t, m, Connected)
	})
}

func TestASessionThatEndedIsRenewed(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		f.forgetSessions()
		f.replicas[0].kill()
		f.replicas[0].revive()
		settle(t, m, Connected)
		if n := f.count("POST /v1/login"); n != 1 {
			t.Errorf("%d logins", n)
		}
		anna := peerNamed("anna", 900)
		f.put(anna)
		f.forgetSessions()
		if p, err := m.Ask(t.Context(), anna.Key); err != nil || !p.Online || p.Name != "anna" {
			t.Errorf("%+v, %v", p, err)
		}
		if _, err := m.Ask(t.Context(), key.NewPrivate().Public()); !errors.Is(err, ErrNoPeer) {
			t.Errorf("about nobody: %v", err)
		}
	})
}

func TestAMemberThatWasRemoved(t *testing.T) {
	bubble(t, 2, func(t *testing.T, f *fake) {
		var told events
		m, cfg := joined(t, f, func(c *Config) { c.OnEvent = told.add })
		self := m.Self()
		f.remove(self.Key)
		settle(t, m, Removed)
		time.Sleep(time.Hour)
		if got := told.take(); !slices.Equal(got, []string{"connected", "removed"}) {
			t.Errorf("told %v", got)
		}
		if s := m.State(); s.Phase != Removed || !errors.Is(s.Err, ErrRemoved) {
			t.Errorf("state is %+v", s)
		}
		m.Close()

		// It is also told at the next start, and taken again when it is a member again.
		m = open(t, cfg)
		time.Sleep(5 * time.Minute)
		settle(t, m, Removed)
		f.put(coordapi.Peer{Key: self.Key, Name: "me"})
		time.Sleep(10 * time.Minute)
		settle(t, m, Connected)
	})
}

// A member that was removed joins again with an invite, under its key.
func TestAnInviteIsUsedOnceMoreIfNeeded(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, cfg := joined(t, f)
		self := m.Self()
		f.remove(self.Key)
		m.Close()
		cfg.Invite = f.invite(1)
		m = open(t, cfg)
		settle(t, m, Connected)
		if m.Self().Key != self.Key {
			t.Error("it has another key")
		}
	})
}
