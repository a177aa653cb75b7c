package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/internal/numbers/numberstest"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/key"
)

// elsewhere are numbers that the traffic of this test does not move, and the test that
// does. What takes minutes, a broken disk or another system is tried in its own room.
var elsewhere = map[string]string{
	"stun_receive_errors":       "TestNoCounterIsDead", // which reads the source: a read fails when a network card goes
	"stun_send_errors":          "TestOneBadAnswerDoesNotStopTheOthers",
	"stun_unhealthy":            "TestUnhealthyResponderIsSilent",
	"history_errors":            "TestFileThatCannotBeWritten",
	"access_asking_known":       "TestTheConnectedAreAskedAboutFirst",
	"access_asking_strangers":   "TestLoginsOfAStrangerAreBounded",
	"access_errors":             "TestWhoIsKnownCannotBeReadOrWritten",
	"access_files_wrong":        "TestListsAreReadWhenTheyChange",
	"access_known":              "TestKnownKeysStayWhileNobodyAnswers",
	"access_sources":            "TestTheFirstYesWins",
	"access_sources_away":       "TestSourcesThatComeBackAreNoticed",
	"access_unheard":            "TestAServerThatIsAway",
	"admitting":                 "TestAdmissionsAreBounded",
	"certificate_failed":        "TestStatusShowsTheCertificate",
	"certificate_issues_failed": "TestBackOffOutlivesTheProcess",
	"certificate_missing":       "TestUnusablePairs",
	"certificates_issued":       "TestRelay",
	"control_refused":           "TestMetricsBeyondThisMachine",
	"floods":                    "TestWebSocketFloods",
	"full":                      "TestMaxConnsBoundsWhoComesIn",
	"keep_alives":               "TestKeepAliveIsLive",
	"outbox_bytes":              "TestOutboxesHaveATotal",
	"pending_evicted":           "TestMaxPendingIsLive",
	"pending_expired":           "TestPendingTimeoutCutsBusyConnections",
	"pending_greedy":            "TestGreedyStrangers",
	"proxies_refused":           "TestRefusedHeaders",
	"queued":                    "TestPeersShowWhatIsQueued",
	"quota_past_hard":           "TestQuotaSendsPeersAway",
	"quota_past_soft":           "TestQuotaSendsPeersAway",
	"quota_webhook_failed":      "TestWebhookIsToldInTheEnd",
	"quota_webhook_gave_up":     "TestWebhookGivesUp",
	"quota_webhook_sent":        "TestWebhookIsToldInTheEnd",
	"quota_webhook_waiting":     "TestWebhookIsToldInTheEnd",
	"selfcheck_failures":        "TestUpdateDuringACheck",
	"selfcheck_outages":         "TestExpiredCertificate",
	"selfchecks_failed":         "TestUpdateChecksOtherPaths",
	"site_busy":                 "TestVisitorsAreBounded",
	"sni_open":                  "TestForeignNamesArePassedOn",
	"stun_no_local_addr":        "TestAnswersComeFromTheAddressThatWasAsked",
	"tcp_accept_errors":         "TestStrangersGiveTheirDescriptors",
	"tcp_full":                  "TestMaxConnsBoundsWhoComesIn",
	"tcp_rejected":              "TestAcceptLimitIsLive",
	"unknown_frames":            "TestUnknownFramesAreSkipped",
	"upgrades_sent_away":        "TestDrainIsBounded",
	"wrong_mesh_keys":           "TestMeshKeysRotate",
}

// drive is a relay, its sibling, and what moves their numbers.
type drive struct {
	*running
	sibling *Daemon
	site    *httptest.Server
	seen    []*admin.Status
}

func (v *drive) look() *admin.Status {
	s := v.operators.Status()
	v.seen = append(v.seen, &s)
	return &s
}

// until looks again and again, until something is so.
func (v *drive) until(t *testing.T, what string, is func(*admin.Status) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		s := v.operators.Status()
		done := is(&s)
		if done {
			v.seen = append(v.seen, &s)
		}
		return done
	})
}

// A number that nothing moves is a promise that is not kept. A relay with all its parts is
// used until each has another value than at its start; then the sums hold.
func TestEveryNumberMoves(t *testing.T) {
	v := startDrive(t)
	for _, do := range []func(*testing.T, *drive){
		driveSiblings, driveSTUN, drivePeers, driveAccess, driveStrangers, driveOperators, driveLimits, driveReloads, driveEnd,
	} {
		do(t, v)
		v.look()
	}
	for _, name := range numberstest.Moved(admin.Metrics, new(admin.Status), v.seen...) {
		if elsewhere[name] == "" {
			t.Errorf("%s is still what it was: drive it, or say which test does", name)
		}
	}
	for _, sum := range admin.Sums { // once nothing is under way any more
		v.until(t, sum.Text, sum.Holds)
	}
	numberstest.NoLabelTells(t, admin.Metrics, v.look())
}

// The tests that the list names are there.
func TestNumbersAreMovedElsewhere(t *testing.T) {
	numberstest.TestsAreThere(t, "../..", elsewhere)
}

func startDrive(t *testing.T) *drive {
	t.Helper()
	shared := filepath.Join(t.TempDir(), "mesh.key")
	if err := meshkey.Create(shared, meshkey.New()); err != nil {
		t.Fatal(err)
	}
	other := plain()
	other.Mesh.KeyFile = shared
	v := &drive{sibling: open(t, other, Options{})}
	run(t, v.sibling)

	c := secured(t)
	c.STUN, c.Metrics, c.SelfCheck = "127.0.0.1:0", "127.0.0.1:0", config.CheckDirect
	c.Access.Everyone = true
	c.Mesh.KeyFile, c.Mesh.With = shared, []string{"http://" + v.sibling.State().Listen}
	c.Quota.Soft, c.Quota.Hard, c.Quota.Count = 1_000_000, 1_000_000_000, config.CountBoth
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "site") }))
	t.Cleanup(site.Close)
	v.site = site
	c.Home = "proxy:" + site.URL
	c.SNI = map[string]string{"other.example": site.Listener.Addr().String(), "down.example": "127.0.0.1:1"}
	page := func(func() admin.Status, *slog.Logger) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/busy" {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, "numbers")
		})
	}
	d := open(t, c, Options{Version: "v1", Metrics: page})
	v.running = &running{Daemon: d}
	v.look()
	run(t, d)
	return v
}

func (v *drive) peer(t *testing.T, d *Daemon, change func(*client.Config)) *client.Conn {
	t.Helper()
	c, err := v.try(t, d, change)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (v *drive) try(t *testing.T, d *Daemon, change func(*client.Config)) (*client.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	now := d.State()
	c := client.Config{URL: now.URL, CertName: now.Pin, Key: key.NewPrivate()}
	change(&c)
	conn, _, err := client.Login(ctx, c)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
		go func() { // whoever sends to it is heard
			buf := make([]byte, 64<<10)
			for {
				if _, err := conn.Recv(buf); err != nil {
					return
				}
			}
		}()
	}
	return conn, err
}

func driveSiblings(t *testing.T, v *drive) {
	v.until(t, "the sibling is linked, both ways", func(s *admin.Status) bool { return len(s.Relay.Links) == 1 })
	back := v.sibling.Config()
	back.Mesh.With = []string{v.State().Listen + "=" + v.State().Pin}
	if _, err := v.sibling.Reload(back); err != nil {
		t.Fatal(err)
	}
	v.until(t, "the sibling has linked back", func(s *admin.Status) bool { return s.Relay.Watchers == 1 })
	far := key.NewPrivate()
	b := v.peer(t, v.sibling, func(c *client.Config) { c.Key = far })
	here := key.NewPrivate()
	a := v.peer(t, v.Daemon, func(c *client.Config) { c.Key = here })
	v.until(t, "packets go both ways", func(s *admin.Status) bool {
		a.Send(far.Public(), []byte("there"))
		b.Send(here.Public(), []byte("and back"))
		return s.Relay.ForwardedIn > 0 && s.Relay.ForwardedOut > 0 && s.Relay.RemotePeers > 0
	})
	b.Close()
}

func driveSTUN(t *testing.T, v *drive) {
	at, err := netip.ParseAddrPort(v.State().STUN)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	socket.WriteToUDPAddrPort([]byte("this is no request at all"), at)
	p := stun.NewProber(socket)
	defer p.Close()
	if _, err := p.Probe(t.Context(), at, time.Second, time.Second, time.Second); err != nil {
		t.Fatal(err)
	}
}

func drivePeers(t *testing.T, v *drive) {
	twice := key.NewPrivate()
	a := v.peer(t, v.Daemon, func(c *client.Config) { c.Key, c.AppName, c.IdealNode = twice, "evil_total", "900b" })
	ws := v.peer(t, v.Daemon, func(c *client.Config) { c.WebSocket = client.WebSocketAlways })
	b := v.peer(t, v.Daemon, func(c *client.Config) { c.Key = twice })
	v.until(t, "the key is there twice", func(s *admin.Status) bool { return s.Relay.DupConns > 0 })
	home := false
	v.until(t, "it moves in and out, once it has been here for a while", func(s *admin.Status) bool {
		home = !home
		b.NotePreferred(home)
		return s.Relay.HomeMovesIn > 0 && s.Relay.HomeMovesOut > 0 && s.Relay.Homes > 0
	})
	if _, err := b.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Send(key.NewPrivate().Public(), append([]byte("TS\xf0\x9f\x92\xac"), make([]byte, 90)...)) // disco, to nobody
	a.Send(key.NewPrivate().Public(), []byte("to nobody"))
	for range 50 {
		ws.Send(twice.Public(), []byte("hello"))
		ws.Send(twice.Public(), append([]byte("TS\xf0\x9f\x92\xac"), make([]byte, 90)...))
	}
	v.until(t, "both kinds have gone through", func(s *admin.Status) bool {
		return s.Relay.Sent.Disco.Packets > 0 && s.Relay.Sent.Other.Packets > 0 && s.Relay.DupConnsTotal > 0
	})
	a.Close()
	b.Close()
	v.until(t, "they are gone", func(s *admin.Status) bool { return s.Relay.PeerGone["disconnected"] > 0 })
}

func driveAccess(t *testing.T, v *drive) {
	file := filepath.Join(t.TempDir(), "keys")
	good := key.NewPrivate()
	if err := os.WriteFile(file, []byte(good.Public().String()+" label=evil_label\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	next := v.Config()
	next.Access.Everyone, next.Access.Keys, next.Access.Managed = false, []string{file}, true
	if _, err := v.Reload(next); err != nil {
		t.Fatal(err)
	}
	v.peer(t, v.Daemon, func(c *client.Config) { c.Key = good })
	v.until(t, "its label has a group", func(s *admin.Status) bool { return len(s.Relay.Groups) == 1 })
	if _, err := v.try(t, v.Daemon, func(*client.Config) {}); err == nil {
		t.Error("a stranger comes in")
	}
	commands := control.OverSocket(v.State().Socket)
	defer commands.Close()
	if _, err := commands.Order(t.Context(), "ban", control.Order{Keys: []key.Public{good.Public()}}); err != nil {
		t.Fatal(err)
	}
	v.until(t, "who is banned is cut off", func(s *admin.Status) bool { return s.Access.Managed.Bans > 0 && s.Relay.Ended["banned"] > 0 })
}

func driveStrangers(t *testing.T, v *drive) {
	to := v.State().Listen
	send := func(text string) {
		c, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, text)
		v.until(t, "it is pending, or gone", func(s *admin.Status) bool { return true })
		c.Close()
	}
	send("GET / HTTP/1.1\r\n\r\n") // no TLS
	ask := func(name, path string) {
		c, err := tls.Dial("tcp", to, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err != nil {
			return // passed on to nobody, or to who has no TLS
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, name)
		c.Read(make([]byte, 100))
		c.Close()
	}
	ask("", "/")
	ask("", "/derp")
	ask("other.example", "/")
	ask("down.example", "/")
	v.site.Close()
	ask("", "/")
	idle, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	v.until(t, "strangers are counted", func(s *admin.Status) bool {
		e := s.Edge
		return e.HandshakeFailures.NotTLS > 0 && e.Pending > 0 && e.Site.Answered > 0 && e.Refused > 0 && e.SNI.Passed > 0 && e.SNI.Refused.Down > 0
	})
}

func driveOperators(t *testing.T, v *drive) {
	for path, want := range map[string]int{"/metrics": 200, "/busy": 503} {
		if got, _ := ask(t, http.MethodGet, "http://"+v.State().Metrics+path, ""); got != want {
			t.Errorf("%s: %d", path, got)
		}
	}
	commands := control.OverSocket(v.State().Socket)
	defer commands.Close()
	if err := commands.Get(t.Context(), "/v1/nothing", nil, nil); err == nil {
		t.Error("it answers what there is not")
	}
}

func driveLimits(t *testing.T, v *drive) {
	next := v.Config()
	next.Access.Everyone, next.Access.Keys, next.Access.Managed = true, nil, false
	next.Limits.Total = config.Rate(20_000)
	if _, err := v.Reload(next); err != nil {
		t.Fatal(err)
	}
	a := v.peer(t, v.Daemon, func(*client.Config) {})
	nobody := key.NewPrivate().Public()
	v.until(t, "it was made to wait", func(s *admin.Status) bool { // a client keeps to what it is told of its own limit
		a.Send(nobody, make([]byte, 1000))
		return s.Relay.Limited["total"].MS > 0
	})
	b := v.peer(t, v.Daemon, func(*client.Config) {})
	v.until(t, "it was made to wait for nothing", func(s *admin.Status) bool {
		for range 100 {
			b.Send(nobody, nil)
		}
		return s.Relay.Limited["nothing"].MS > 0
	})
}

func driveReloads(t *testing.T, v *drive) {
	next := v.Config()
	next.Admin, next.Limits.Total = "127.0.0.1:0", 0
	v.Reload(next) // in this program there is no other process that could take over
	v.until(t, "a setting waits", func(s *admin.Status) bool {
		return s.Reload != nil && len(s.Reload.Restart) > 0 && s.Reload.Error != ""
	})
}

func driveEnd(t *testing.T, v *drive) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	v.peer(t, v.Daemon, func(*client.Config) {})
	v.Drain(ctx)
	v.until(t, "it drains", func(s *admin.Status) bool { return s.Draining && !s.Health.Healthy })
}
