package metrics

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/numbers"
)

const (
	// Path has our own numbers, and DerpersPath those of derper, where derper has them.
	Path        = "/metrics"
	DerpersPath = "/debug/varz"
)

const (
	// mostAtOnce is how many may ask at a time for a page: the numbers of thousands of
	// connections are looked at for each.
	mostAtOnce = 4

	// slowest is how long an answer may take.
	slowest = 10 * time.Second
)

// NewHandler answers for a relay: its own numbers, and those of derper. Beyond some at a
// time it says 503. What goes wrong is logged.
func NewHandler(status func() admin.Status, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, ofTable(admin.Metrics, status, log))
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(status, derpers))
	mux.Handle("GET "+DerpersPath, page(registry, log))
	return mux
}

// NewTable answers for any server, with the numbers of its table.
func NewTable[S any](table []numbers.Metric[S], state func() S, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, ofTable(table, state, log))
	return mux
}

// ofTable answers with the numbers of a table, and with those of the Go runtime and the
// process, in the text formats of Prometheus.
func ofTable[S any](table []numbers.Metric[S], state func() S, log *slog.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newCollector(state, rowsOf(table)))
	return page(registry, log)
}

func page(registry *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), MaxRequestsInFlight: mostAtOnce, Timeout: slowest,
	})
}

// A sayer says a value, with those of the labels.
type sayer func(value float64, labels ...string)

// A row is a metric as Prometheus has it.
type row[S any] struct {
	name, help string
	labels     []string
	kind       numbers.Kind
	values     func(*S, sayer)
	ranges     func(*S) (numbers.Ranges, bool) // of histograms, instead of values
}

func rowsOf[S any](table []numbers.Metric[S]) (rows []row[S]) {
	for _, m := range table {
		r := row[S]{name: m.FullName(), help: m.Help, kind: m.Kind, ranges: m.Ranges}
		r.values = func(s *S, say sayer) { m.Values(s, func(_ string, v float64) { say(v) }) }
		if m.Label != "" {
			r.labels = []string{m.Label}
			r.values = func(s *S, say sayer) { m.Values(s, func(label string, v float64) { say(v, label) }) }
		}
		rows = append(rows, r)
	}
	return rows
}

// collector takes all numbers from one state, so that they fit together.
type collector[S any] struct {
	state func() S
	rows  []row[S]
	descs []*prometheus.Desc // of rows
}

func newCollector[S any](state func() S, rows []row[S]) *collector[S] {
	c := &collector[S]{state: state, rows: rows}
	for _, r := range rows {
		c.descs = append(c.descs, prometheus.NewDesc(r.name, r.help, r.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector[S]) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

var kinds = map[numbers.Kind]prometheus.ValueType{numbers.Counter: prometheus.CounterValue, numbers.Gauge: prometheus.GaugeValue}

// Collect implements prometheus.Collector.
func (c *collector[S]) Collect(out chan<- prometheus.Metric) {
	s := c.state()
	for i, r := range c.rows {
		if r.ranges != nil {
			if ranges, has := r.ranges(&s); has {
				out <- histogram(c.descs[i], ranges)
			}
			continue
		}
		kind, typed := kinds[r.kind]
		if !typed {
			kind = prometheus.UntypedValue
		}
		r.values(&s, func(value float64, labels ...string) {
			for i := range labels {
				labels[i] = strings.ToValidUTF8(labels[i], "?")
			}
			out <- prometheus.MustNewConstMetric(c.descs[i], kind, value, labels...)
		})
	}
}

// histogram adds the ranges up: Prometheus counts what is in a range or below.
func histogram(d *prometheus.Desc, r numbers.Ranges) prometheus.Metric {
	below := make(map[float64]uint64, len(r.Bounds))
	n := uint64(0)
	for i, bound := range r.Bounds {
		n += r.Counts[i]
		below[bound] = n
	}
	return prometheus.MustNewConstHistogram(d, r.Count(), r.Sum, below)
}
