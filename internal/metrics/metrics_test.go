package metrics

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/internal/numbers"
	"github.com/detour-relay/detour/internal/quota"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// busy is a relay with all parts, and a number of each that is its own.
func busy() admin.Status {
	kind := func(n uint64) relay.ByKind {
		return relay.ByKind{Disco: relay.Traffic{Packets: n, Bytes: 10 * n}, Other: relay.Traffic{Packets: 2 * n, Bytes: 20 * n}}
	}
	return admin.Status{
		Version: "1.2\xff", Started: time.Unix(1800000000, 0), Health: health.Snapshot{SelfCheck: new(health.SelfCheck)}, Control: new(control.Snapshot),
		Access: new(admit.Snapshot), Quota: new(quota.Snapshot),
		STUN: &stun.Snapshot{Received: 9, Requests: 7, AnsweredIPv4: 4, AnsweredIPv6: 2, SendErrors: 1},
		Edge: edge.Snapshot{Accepted: 100, Rejected: 3, Full: 2, WebSocket: 5},
		Relay: relay.Survey{Queued: 6, Counters: relay.Counters{
			Accepts: 11, Conns: 12, Peers: 13, RemotePeers: 14, Received: kind(1000), ForwardedIn: 500, Sent: kind(2000), ForwardedOut: 7,
			Dropped: map[string]relay.ByKind{"queue_head": kind(3)}, Ended: map[string]uint64{"write_timeout": 8, "eof": 1},
			PeerGone:   map[string]uint64{"disconnected": 21, "not here": 22},
			OutboxTime: relay.Histogram{Bounds: []float64{0.1, 1}, Counts: []uint64{3, 0, 1}, Sum: 2},
			RoundTrip:  relay.Histogram{Bounds: []float64{0.001, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1}, Counts: []uint64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}},
		}},
	}
}

func scrape(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// What it says of derper's names is not ours to change: they have a page of their own.
func TestOurNamesAreAsPrometheusWantsThem(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrape(t, NewHandler(busy, quiet()), Path))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestEachNumberIsShown(t *testing.T) {
	text := scrape(t, NewHandler(busy, quiet()), Path)
	for _, want := range []string{
		`detour_build_info{version="1.2?"} 1`, "detour_accepts_total 11", "detour_queued 6", `detour_received_bytes_total{kind="other"} 20000`,
		`detour_dropped_disco_packets_total{reason="queue_head"} 3`, `detour_ended_total{reason="eof"} 1`, "detour_sent_packets_total",
		`detour_sni_bytes_total{direction="in"} 0`, "# TYPE detour_conns gauge", "# TYPE detour_accepts_total counter",
		"# TYPE detour_outbox_time_seconds histogram", `detour_outbox_time_seconds_bucket{le="0.1"} 3`, `detour_outbox_time_seconds_bucket{le="1"} 3`,
		`detour_outbox_time_seconds_bucket{le="+Inf"} 4`, "detour_outbox_time_seconds_sum 2", "detour_outbox_time_seconds_count 4",
		"go_goroutines ", "process_start_time_seconds ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("%q is missing", want)
		}
	}
	shown := make(map[string]bool)
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, " ")
		name, _, _ = strings.Cut(name, "{")
		shown[name] = true
	}
	s := busy()
	for _, m := range admin.Metrics {
		has := false
		m.Values(&s, func(string, float64) { has = true })
		if m.Kind == numbers.Histogram {
			shown[m.FullName()] = shown[m.FullName()+"_count"]
		}
		if has != shown[m.FullName()] {
			t.Errorf("%s: shown %v, and there are values: %v", m.FullName(), shown[m.FullName()], has)
		}
	}
}

// These are the names and types of derper 1.104 (derp-protocol, 14.2 and 14.3).
func TestDerpersNumbers(t *testing.T) {
	text := scrape(t, NewHandler(busy, quiet()), DerpersPath)
	for want, kind := range map[string]string{
		"derp_accepts 11": "counter", "derp_current_connections 12": "gauge", "derp_clients_local 13": "gauge", "derp_clients_remote 14": "gauge", "derp_clients_total 27": "gauge",
		"derp_packets_received 2500": "counter", "derp_bytes_received 30000": "counter", `derp_packets_received_kind{kind="disco"} 1000`: "counter",
		"derp_packets_sent 6000": "counter", "derp_bytes_sent 60000": "counter", "derp_packets_forwarded_in 500": "counter", "derp_packets_forwarded_out 7": "counter",
		`derp_packets_dropped{kind="other",reason="queue_head"} 6`: "counter", `derp_bytes_dropped{kind="disco",reason="queue_head"} 30`: "counter",
		"derp_peer_gone_disconnected_frames 21": "counter", "derp_peer_gone_not_here_frames 22": "counter", "derp_sclient_write_timeouts 8": "counter",
		"derp_websocket_accepts 5": "counter", "tls_listener_accepted_connections 95": "counter", "tls_listener_rejected_connections 5": "counter",
		`stun_requests{disposition="success"} 6`: "counter", `stun_requests{disposition="not_stun"} 2`: "counter", `stun_requests{disposition="write_error"} 1`: "counter",
		`stun_addrfamily{family="ipv4"} 4`: "counter", `stun_addrfamily{family="ipv6"} 2`: "counter", "process_start_unix_time 1.8e+09": "gauge",
		"derp_average_queue_duration_ms 500": "untyped", `derp_tcp_rtt{le="10ms"} 3`: "counter", `derp_tcp_rtt{le="20ms"} 4`: "counter", `derp_tcp_rtt{le="500ms"} 128`: "counter", `derp_tcp_rtt{le="inf"} 768`: "counter",
	} {
		name := want[:strings.IndexAny(want, " {")]
		if !strings.Contains(text, "\n"+want+"\n") || !strings.Contains(text, "# TYPE "+name+" "+kind+"\n") {
			t.Errorf("want %q, a %s", want, kind)
		}
	}
}

// A relay without STUN, or without TLS, has no numbers of these.
func TestWhatIsNotThereIsNotShown(t *testing.T) {
	h := NewHandler(func() admin.Status { return admin.Status{} }, quiet())
	text := scrape(t, h, Path) + scrape(t, h, DerpersPath)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "stun_") || strings.HasPrefix(line, "detour_stun_") || strings.HasPrefix(line, "detour_certificate") {
			t.Error(line)
		}
	}
}

func TestNoNameIsThereTwice(t *testing.T) {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		newCollector(busy, slices.Concat(rowsOf(admin.Metrics), derpers)).Describe(descs)
	}()
	seen := make(map[string]int)
	for d := range descs {
		seen[d.String()]++
	}
	for _, d := range slices.Sorted(maps.Keys(seen)) {
		if seen[d] > 1 {
			t.Error(d)
		}
	}
}

// Only so many are answered at a time; the others are told at once.
func TestScrapesInThousands(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	h := NewHandler(func() admin.Status { begun <- struct{}{}; <-hold; return busy() }, quiet())
	var asking sync.WaitGroup
	codes := make(chan int, 1000)
	ask := func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		codes <- w.Code
	}
	for range mostAtOnce {
		asking.Go(ask)
		<-begun
	}
	for range 1000 - mostAtOnce {
		if ask(); <-codes != http.StatusServiceUnavailable {
			t.Fatal("one too many is answered")
		}
	}
	close(hold)
	asking.Wait()
	for range mostAtOnce {
		if <-codes != http.StatusOK {
			t.Error("one that came in time is not answered")
		}
	}
}

func TestOtherRequests(t *testing.T) {
	server := httptest.NewServer(NewHandler(busy, quiet()))
	defer server.Close()
	for path, want := range map[string]int{"/": http.StatusNotFound, "/metrics": http.StatusMethodNotAllowed} {
		r, err := http.NewRequest(http.MethodPost, server.URL+path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("POST %s: %d, want %d", path, answer.StatusCode, want)
		}
	}
}
