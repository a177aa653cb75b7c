package metrics

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/detour-relay/detour/internal/admin"
)

const (
	// mostAtOnce is how many may ask at a time: the numbers of thousands of connections
	// are looked at for each.
	mostAtOnce = 4

	// slowest is how long an answer may take.
	slowest = 10 * time.Second
)

// NewHandler answers GET /metrics with these numbers in the text formats of Prometheus, and
// 503 while as many ask as may. What goes wrong is logged.
func NewHandler(status func() admin.Status, log *slog.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newCollector(status))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), MaxRequestsInFlight: mostAtOnce, Timeout: slowest,
	}))
	return mux
}

// sayer says a value, with those of the labels.
type sayer func(value float64, labels ...string)

// A row is a metric as Prometheus has it.
type row struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	values func(*admin.Status, sayer)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// ours is the row of a metric under our own name.
func ours(m admin.Metric) row {
	r := row{kind: prometheus.CounterValue}
	if m.Kind == admin.Gauge {
		r.kind = prometheus.GaugeValue
	}
	if m.Label == "" {
		r.desc = desc(nameOf(m), m.Help)
		r.values = func(s *admin.Status, say sayer) { m.Values(s, func(_ string, v float64) { say(v) }) }
		return r
	}
	r.desc = desc(nameOf(m), m.Help, m.Label)
	r.values = func(s *admin.Status, say sayer) { m.Values(s, func(label string, v float64) { say(v, label) }) }
	return r
}

// nameOf is our own name of a metric.
func nameOf(m admin.Metric) string {
	name := "detour_" + m.Name
	if m.Unit != "" && !strings.HasSuffix(name, "_"+m.Unit) {
		name += "_" + m.Unit
	}
	if m.Kind == admin.Counter {
		name += "_total"
	}
	return name
}

// collector takes all numbers from one Status, so that they fit together.
type collector struct {
	status func() admin.Status
	rows   []row
}

func newCollector(status func() admin.Status) *collector {
	c := &collector{status: status, rows: slices.Clone(derpers)}
	for _, m := range admin.Metrics {
		c.rows = append(c.rows, ours(m))
	}
	c.rows = append(c.rows, row{
		desc("detour_build_info", "the program that runs; always 1", "version"), prometheus.GaugeValue,
		func(s *admin.Status, say sayer) { say(1, s.Version) },
	})
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, r := range c.rows {
		out <- r.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.status()
	for _, r := range c.rows {
		r.values(&s, func(value float64, labels ...string) {
			for i := range labels {
				labels[i] = strings.ToValidUTF8(labels[i], "?")
			}
			out <- prometheus.MustNewConstMetric(r.desc, r.kind, value, labels...)
		})
	}
}
