package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/logtest"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// timeout bounds every wait for something that must happen.
const timeout = 2 * time.Minute

// lines is a log that several goroutines write.
type lines struct{ logtest.Log }

func plain() config.Config {
	c := config.Defaults()
	c.Dev, c.Listen, c.STUN, c.SelfCheck, c.Drain = true, "127.0.0.1:0", config.STUNOff, config.CheckOff, 0
	return c
}

// open makes a relay that is stopped when the test ends.
func open(t *testing.T, c config.Config, o Options) *Daemon {
	t.Helper()
	d, err := Open(c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// run serves until the test ends or the result is called, which waits for the end.
func run(t *testing.T, d *Daemon) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	for deadline := time.Now().Add(timeout); d.State().Phase == front.Opened; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not run")
		}
	}
	return end
}

func login(t *testing.T, d *Daemon) (*client.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	now := d.State()
	conn, _, err := client.Login(ctx, client.Config{URL: now.URL, CertName: now.Pin, Key: key.NewPrivate()})
	return conn, err
}

func TestPhasesGoForwardOnly(t *testing.T) {
	d := open(t, plain(), Options{})
	if got := d.State().Phase; got != front.Opened {
		t.Errorf("%s", got)
	}
	end := run(t, d)
	if got := d.State().Phase; got != front.Serving {
		t.Errorf("%s", got)
	}
	if err := d.Run(t.Context()); err == nil {
		t.Error("it runs twice")
	}
	conn, err := login(t, d)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := d.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if got := d.State().Phase; got != front.Draining || d.State().Health.Healthy {
		t.Errorf("%s, and it wants peers: %v", got, d.State().Health.Healthy)
	}
	end()
	if got := d.State().Phase; got != front.Stopped {
		t.Errorf("%s", got)
	}
	if err := errors.Join(d.Drain(t.Context()), d.Stop()); err != nil {
		t.Errorf("after the end: %v", err)
	}
	if err := d.Run(t.Context()); err == nil {
		t.Error("it runs after its end")
	}
}

func TestStopEndsRun(t *testing.T) {
	d := open(t, plain(), Options{})
	end := run(t, d)
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	end()
	if _, err := login(t, d); err == nil {
		t.Error("somebody is served")
	}
}

func TestRelayThatNeverRanLeavesNothing(t *testing.T) {
	d := open(t, plain(), Options{})
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	if err := d.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	l, err := net.Listen("tcp", d.State().Listen)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// A relay that cannot be opened frees what it has bound, and what it was given.
func TestOpenThatFailsFreesItsSockets(t *testing.T) {
	given, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := plain()
	c.STUN = taken.LocalAddr().String()
	_, err = Open(c, Options{Listener: given})
	if e, ok := errors.AsType[*config.Error](err); !ok || e.Setting != "stun" || !e.Failed {
		t.Errorf("%v", err)
	}
	again, err := Listen(given.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	c.Drain = -1
	if given, err = Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(c, Options{Listener: given}); err == nil {
		t.Error("opened with nonsense")
	}
	if _, err := given.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}

// Whatever an embedder asks of peers, the relay's own check gets in.
func TestSelfCheckIsAdmitted(t *testing.T) {
	c := plain()
	c.SelfCheck = config.CheckDirect
	d := open(t, c, Options{Admit: func(context.Context, relay.Applicant) (relay.Admission, error) {
		return relay.Admission{}, errors.New("nobody")
	}})
	run(t, d)
	for deadline := time.Now().Add(timeout); d.State().Health.SelfCheck.Checks == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no check")
		}
	}
	if got := d.State().Health.SelfCheck; !got.OK {
		t.Errorf("%+v", got)
	}
	if conn, err := login(t, d); err == nil {
		conn.Close()
		t.Error("somebody else got in, too")
	}
}

func TestReloadTakesOverWhatIsLive(t *testing.T) {
	var log lines
	c := plain()
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := meshkey.Create(filepath.Join(dir, name), meshkey.New()); err != nil {
			t.Fatal(err)
		}
	}
	c.Mesh.KeyFile = filepath.Join(dir, "a")
	d := open(t, c, Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	next := d.Config()
	next.Mesh.KeyFile, next.Log.Level = filepath.Join(dir, "b"), "debug"
	if _, err := d.Reload(next); err != nil {
		t.Fatal(err)
	}
	if got := d.Config(); got.Mesh.KeyFile != next.Mesh.KeyFile || !d.log.Enabled(t.Context(), slog.LevelDebug) {
		t.Errorf("%+v", got)
	}
	next.Mesh.KeyFile = filepath.Join(dir, "nowhere")
	if _, err := d.Reload(next); err == nil || !strings.Contains(err.Error(), "the old ones stay") {
		t.Errorf("%v", err)
	}
	if got := d.Config().Mesh.KeyFile; got != filepath.Join(dir, "b") {
		t.Errorf("the file is %s", got)
	}
	if got := d.State().Reload; got == nil || got.Error == "" || got.At.IsZero() {
		t.Errorf("%+v", got)
	}
}

func TestReloadSaysWhatNeedsARestart(t *testing.T) {
	d := open(t, plain(), Options{Spell: func(s string) string { return "--" + s }})
	next := d.Config()
	next.Listen, next.Mesh.DNS, next.Log.Level, next.Pprof = "127.0.0.1:1", nil, "error", "127.0.0.1:2"
	next.Drain++
	report, err := d.Reload(next)
	if !errors.Is(err, ErrRestart) || !strings.Contains(err.Error(), "restart needed for listen, pprof: ") {
		t.Errorf("%v", err)
	}
	if !slices.Equal(config.Names(report.Changed), []string{"drain", "log.level"}) || !slices.Equal(config.Names(report.Restart), []string{"listen", "pprof"}) {
		t.Errorf("%+v", report)
	}
	got := d.State().Reload
	if got == nil || !slices.Equal(got.Restart, config.Names(report.Restart)) || !slices.Equal(got.Changed, report.Changed) || !strings.Contains(got.Error, "--listen, --pprof") {
		t.Errorf("%+v", got)
	}
	if d.Config().Listen != plain().Listen || d.Config().Log.Level != "error" {
		t.Errorf("what is live was not taken over alone: %+v", d.Config())
	}
	next.Drain = -1
	if _, err := d.Reload(next); err == nil || errors.Is(err, ErrRestart) {
		t.Errorf("nonsense: %v", err)
	}
	if _, err := d.Reload(d.Config()); err != nil || d.State().Reload.Restart != nil {
		t.Errorf("nothing changes: %v, %+v", err, d.State().Reload)
	}
}

// Other files are another source, without a restart.
func TestReloadMovesTheCertificate(t *testing.T) {
	dir := t.TempDir()
	var files, pins []string
	for _, name := range []string{"one", "two"} {
		c := plain()
		c.Dev, c.TLS.Mode, c.Hostname, c.StateDir = false, config.TLSSelf, "127.0.0.1", filepath.Join(dir, name)
		d := open(t, c, Options{})
		files, pins = append(files, filepath.Join(c.StateDir, "self-127.0.0.1.pem")), append(pins, d.State().Pin)
	}
	c := plain()
	c.Dev, c.TLS, c.StateDir = false, config.TLS{Cert: files[0], Key: files[0]}, dir
	d := open(t, c, Options{})
	run(t, d)
	if got := d.State().Certificate.Pin; got != pins[0] {
		t.Fatalf("%s", got)
	}
	next := d.Config()
	next.TLS.Cert, next.TLS.Key = files[1], files[1]
	if _, err := d.Reload(next); err != nil || d.State().Certificate.Pin != pins[1] {
		t.Errorf("%v: %s", err, d.State().Certificate.Pin)
	}
	next.TLS.Cert = filepath.Join(dir, "nowhere")
	if _, err := d.Reload(next); err == nil || d.State().Certificate.Pin != pins[1] {
		t.Errorf("%v: %s", err, d.State().Certificate.Pin)
	}
}

func TestAProgramWithoutMetricsHasNone(t *testing.T) {
	c := plain()
	c.Metrics = "127.0.0.1:0"
	_, err := Open(c, Options{Logger: slog.New(slog.DiscardHandler)})
	if got := config.Text(err, func(s string) string { return s }); !strings.Contains(got, "metrics this program has no metrics: leave it out") {
		t.Error(got)
	}
}

// A page in a browser of this machine can lead its own name here.
func TestOpsAnswerToAddressesOnly(t *testing.T) {
	c := plain()
	c.Admin, c.Metrics, c.Pprof = "127.0.0.1:0", "127.0.0.1:0", "localhost:0"
	metrics := func(status func() admin.Status, _ *slog.Logger) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, status().PID) })
	}
	d := open(t, c, Options{Metrics: metrics})
	run(t, d)
	now := d.State()
	for host, want := range map[string]int{
		"": 200, "127.0.0.1": 200, "127.0.0.1:9340": 200, "[::1]:9340": 200, "[::1]": 200, "localhost": 200, "localhost:1": 200, "192.0.2.1": 200,
		"evil.example": 403, "evil.example:9340": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "LOCALHOST": 200,
	} {
		for _, url := range []string{"http://" + now.Admin + "/status", "http://" + now.Metrics + "/metrics", "http://" + now.Pprof + "/debug/pprof/cmdline"} {
			if got, _ := ask(t, http.MethodGet, url, host); got != want {
				t.Errorf("%s with Host %q: %d, want %d", url, host, got, want)
			}
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/symbol", "/debug/pprof/trace"} {
		if got, _ := ask(t, http.MethodPost, "http://"+now.Pprof+path, ""); got != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, got)
		}
	}
}

func ask(t *testing.T, method, url, host string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	web := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := web.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestStateDirIsForTheRelayAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	c := plain()
	c.Dev, c.TLS.Mode, c.StateDir = false, config.TLSOff, dir
	open(t, c, Options{})
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("%v, %v", info, err)
	}
}
