package coordserver

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordload"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/numbers/numberstest"
	"github.com/detour-relay/detour/key"
)

// elsewhere are numbers that the traffic of this test does not move, and the test that
// does. A broken engine is tried in its own room.
var elsewhere = map[string]string{
	"certificate_failed":          "TestStatusShowsTheCertificate",
	"certificate_issues_failed":   "TestBackOffOutlivesTheProcess",
	"certificate_missing":         "TestUnusablePairs",
	"certificates_issued":         "TestRelay",
	"coord_store_lag":             "TestOneOfThreeMayDie",
	"coord_store_replicas_behind": "TestOneOfThreeMayDie",
}

// A drive is a coordinator, and what moves its numbers.
type drive struct {
	*Server
	derpMap, token string // files
	tailnet        coordapi.Tailnet
	end            func()
	seen           []*State
}

// until looks again and again, until something is so.
func (v *drive) until(t *testing.T, what string, is func(*State) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for s := v.State(); ; s = v.State() {
		if is(&s) {
			v.seen = append(v.seen, &s)
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("never: %s: %+v", what, s)
		}
		time.Sleep(time.Millisecond)
	}
}

// A number that nothing moves is a promise that is not kept. A coordinator with all its
// parts is used until each has another value than at its start.
func TestEveryNumberMoves(t *testing.T) {
	v := startDrive(t)
	for _, do := range []func(*testing.T, *drive){driveOperators, driveMembers, driveStore, driveMap, driveScrapes, driveRoom, driveEnd} {
		do(t, v)
	}
	for _, name := range numberstest.Moved(Metrics, new(State), v.seen...) {
		if elsewhere[name] == "" {
			t.Errorf("%s is still what it was: drive it, or say which test does", name)
		}
	}
	for _, s := range v.seen {
		for _, sum := range Sums {
			if !sum.Holds(s) {
				t.Errorf("%s does not hold: %+v", sum.Text, s)
			}
		}
		numberstest.NoLabelTells(t, Metrics, s)
	}
}

// The tests that the list names are there.
func TestNumbersAreMovedElsewhere(t *testing.T) {
	numberstest.TestsAreThere(t, "..", elsewhere)
}

// mostConns are enough for this test, but for its end.
const mostConns = 20

func startDrive(t *testing.T) *drive {
	t.Helper()
	c := kept(t)
	dir := t.TempDir()
	v := &drive{derpMap: filepath.Join(dir, "derp.json"), token: filepath.Join(dir, "token")}
	for file, text := range map[string]string{v.derpMap: aMap, v.token: strings.Repeat("0123456789abcdef", 4) + "\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.Map, c.Front.MaxConns, c.Front.Metrics = v.derpMap, mostConns, "127.0.0.1:0"
	c.Front.AdminHTTPS, c.Front.AdminToken = "127.0.0.1:0", v.token
	v.Server, v.end = run(t, c, Options{Version: "v1", Metrics: func(func() State, *slog.Logger) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/busy" {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			io.WriteString(w, "numbers")
		})
	}})
	return v
}

func driveOperators(t *testing.T, v *drive) {
	if err := admin(t, v.Server, "POST", "tailnets", coordapi.NewTailnet{Name: "evil"}, &v.tailnet); err != nil {
		t.Fatal(err)
	}
	if err := admin(t, v.Server, "POST", "relays", coordapi.NewRelay{Name: "evil-relay"}, nil); err != nil {
		t.Fatal(err)
	}
	stranger := control.OverNetwork(&url.URL{Scheme: "https", Host: v.State().Remote}, &tls.Config{InsecureSkipVerify: true}, nil, "no token")
	defer stranger.Close()
	if _, err := stranger.Version(t.Context()); err == nil {
		t.Error("a wrong token is taken")
	}
	v.until(t, "the tailnet and the relay are known", func(s *State) bool { return service(s).Tailnets == 1 && service(s).Relays == 1 })
}

func driveMembers(t *testing.T, v *drive) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var made coordapi.Invited
	if err := admin(t, v.Server, "POST", "tailnets/evil/invites", coordapi.NewInvite{Uses: 2}, &made); err != nil {
		t.Fatal(err)
	}
	invite, err := coordapi.ParseInvite(made.Text)
	if err != nil {
		t.Fatal(err)
	}
	members := []*coordload.Member{{Tailnet: v.tailnet.ID, Key: key.NewPrivate()}, {Tailnet: v.tailnet.ID, Key: key.NewPrivate()}}
	crowd, err := coordload.New(coordload.Config{Addrs: []string{v.State().Listen}, TLS: &tls.Config{InsecureSkipVerify: true}, Boot: 1}, members)
	if err != nil {
		t.Fatal(err)
	}
	defer crowd.Close()
	for i, name := range []string{"evil-one", "evil-two"} {
		if err := crowd.Join(ctx, i, invite.Credential(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := crowd.Join(ctx, 0, "no invite", "evil"); err == nil {
		t.Error("joined without an invite")
	}
	if err := crowd.LogIn(ctx, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time they go on
		streams := crowd.Open(1)
		if err := streams.AwaitOpen(ctx, 2); err != nil {
			t.Fatal(err, streams.Last())
		}
		disco := key.NewPrivate().Public()
		told := streams.AwaitDisco(disco, 1)
		if err := crowd.Report(ctx, 0, 1, disco); err != nil {
			t.Fatal(err)
		}
		select {
		case <-told:
		case <-ctx.Done():
			t.Fatal("nobody is told")
		}
		v.until(t, "both watch", func(s *State) bool { return service(s).MemberStream == 2 && s.Conns.Now > 0 })
		streams.Close()
	}
	v.until(t, "they have gone on", func(s *State) bool { return service(s).Resumes > 0 && service(s).Snapshots > 0 })
}

// driveStore has things in the store that this coordinator has not written.
func driveStore(t *testing.T, v *drive) {
	store := v.opened().store
	for _, record := range []struct{ bucket, key, value string }{
		{coordstore.Hard, coordstate.RelayKey("spoilt"), "no record"},
		{coordstore.Soft(0), coordstate.AliveKey("another"), "1"},
		{coordstore.Soft(coordstore.SoftOf(v.tailnet.ID)), coordstate.SoftKey(v.tailnet.ID, key.NewPrivate().Public()), "{}"},
	} {
		if _, err := store.Create(t.Context(), record.bucket, record.key, []byte(record.value)); err != nil {
			t.Fatal(err)
		}
	}
	v.until(t, "they are known", func(s *State) bool {
		return service(s).BadRecords > 0 && service(s).Unclaimed > 0 && len(service(s).Coordinators) > 0
	})
	if err := admin(t, v.Server, "POST", "relays", coordapi.NewRelay{Name: "spoilt"}, nil); err == nil {
		t.Error("a relay takes the place of a record that cannot be read")
	}
	v.until(t, "a write has failed, and the engine was looked at", func(s *State) bool { return service(s).FailedWrites > 0 && s.Engine.Watchers > 0 })
}

func driveMap(t *testing.T, v *drive) {
	if err := os.WriteFile(v.derpMap, []byte("{broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	v.until(t, "the map is wrong", func(s *State) bool {
		v.Reload()
		return s.MapError != ""
	})
}

func driveScrapes(t *testing.T, v *drive) {
	at, err := url.Parse(v.State().Metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	for path, want := range map[string]int{"/metrics": 200, "/busy": 503} {
		at.Path = path
		answer, err := http.Get(at.String())
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	v.until(t, "both are counted", func(s *State) bool { return s.Scrapes.Answered > 0 })
}

func driveRoom(t *testing.T, v *drive) {
	for range mostConns + 1 {
		c, err := net.Dial("tcp", v.State().Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	v.until(t, "one is turned away", func(s *State) bool { return s.Conns.TurnedAway > 0 })
}

func driveEnd(t *testing.T, v *drive) {
	v.life.Enter(front.Draining) // which is over too soon to be seen
	v.until(t, "it drains", func(s *State) bool { return s.Phase == front.Draining && s.NotReady != "" })
	v.end()
	v.until(t, "nothing can be written or heard", func(s *State) bool { return !s.Engine.Writable && len(service(s).Unheard) > 0 })
}
