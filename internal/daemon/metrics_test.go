package daemon

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/reach"
)

// Beyond loopback, metrics have the relay's own certificate and ask for the token, which a
// reload reads again. Settings that do not fit change nothing.
func TestMetricsBeyondThisMachine(t *testing.T) {
	c := secured(t)
	file := filepath.Join(t.TempDir(), "token")
	first := writeToken(t, file, "8")
	c.Metrics, c.MetricsToken = ":0", file
	page := func(status func() admin.Status, _ *slog.Logger) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, status().Version) })
	}
	d := open(t, c, Options{Version: "v1.2.3", Metrics: page})
	run(t, d)
	_, port, err := net.SplitHostPort(d.State().Metrics)
	if err != nil {
		t.Fatal(err)
	}
	base := "https://127.0.0.1:" + port + "/metrics"
	if at := d.State().MetricsAt; !strings.HasPrefix(at, "https://") || !strings.HasSuffix(at, port+"/metrics") {
		t.Errorf("%q", at)
	}
	ask := func(secret string) int {
		t.Helper()
		return scrapeAs(t, base, d.State().Pin, secret)
	}
	if got := ask(first); got != http.StatusOK {
		t.Errorf("with the token: %d", got)
	}
	if got := ask("Wrong"); got != http.StatusUnauthorized {
		t.Errorf("with another one: %d", got)
	}
	if s := d.operators.Status().Scrapes; s.Answered != 1 || s.WrongTokens != 1 {
		t.Errorf("%+v", s)
	}

	second := writeToken(t, file, "9")
	if _, err := d.Reload(c); err != nil {
		t.Fatal(err)
	}
	if old, now := ask(first), ask(second); old != http.StatusUnauthorized || now != http.StatusOK {
		t.Errorf("after a reload: %d with the old token, %d with the new one", old, now)
	}
	without := c
	without.MetricsToken = ""
	if _, err := d.Reload(without); err == nil || !strings.Contains(err.Error(), "say who may ask") {
		t.Errorf("without a token: %v", err)
	}
	if now := ask(second); now != http.StatusOK {
		t.Errorf("after a reload that failed: %d", now)
	}
}

// scrapeAs asks a relay that is known by its pin.
func scrapeAs(t *testing.T, base, pin, secret string) int {
	t.Helper()
	target, err := reach.New(reach.Config{URL: base, CertName: pin})
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: target.TLSConfig(), DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}
