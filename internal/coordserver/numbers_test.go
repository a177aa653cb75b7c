package coordserver

import (
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/numbers/numberstest"
)

// notMetrics are numbers of a State that are no metrics, and why.
var notMetrics = map[string]string{
	"PID":              "it is a name",
	"Phase":            "draining is a metric",
	"Control.Requests": "that is Asked",
	"Control.Failed":   "nobody counts it here",
	"Engine.Replicas":  "one each for a replica; how many there are and are behind is a metric",
	"Service.Ready":    "it is NotReady again",
	"Service.Draining": "it is the phase again",
	"Service.Store":    "it is Engine again",
}

func fullState() *State {
	return &State{Engine: new(coordstore.State), Service: new(coord.Snapshot), Scrapes: new(front.Scrapes)}
}

func TestEveryNumberIsOneMetric(t *testing.T) {
	numberstest.EachOnce(t, Metrics, fullState, notMetrics)
}

func TestMetricsAreNamedAsTheyShould(t *testing.T) {
	name, seen := regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`), map[string]bool{}
	for _, m := range Metrics {
		if !name.MatchString(m.Name) || m.Help == "" || seen[m.Name] {
			t.Errorf("%+v", m)
		}
		seen[m.Name] = true
	}
}

// A coordinator answers Prometheus as a relay does.
func TestMetricsPage(t *testing.T) {
	c := dev(t)
	c.Front.Metrics = "127.0.0.1:0"
	if _, err := Open(c, Options{}); err == nil || !strings.Contains(err.Error(), "this program has no metrics") {
		t.Errorf("without a page: %v", err)
	}
	s, _ := run(t, c, Options{Metrics: func(state func() State, _ *slog.Logger) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, string(state().Phase)) })
	}})
	answer, err := http.Get(s.State().Metrics)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if string(text) != "serving" || s.State().Scrapes.Answered != 1 {
		t.Errorf("%q, %+v", text, s.State().Scrapes)
	}
	c.Front.Metrics = ":0"
	if _, err := c.Complete(); err == nil || !strings.Contains(err.Error(), "needs TLS, and this coordinator has none") {
		t.Errorf("beyond loopback: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}
