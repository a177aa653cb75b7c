package history

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Ask returns a piece of the history. Nil: none is kept. The error is of the query. Where
// the file cannot be read there are gaps, and State says why when it is to be written.
func (h *History) Ask(q Query) (*Answer, error) {
	q, err := q.complete(time.Now())
	if err != nil {
		return nil, err
	}
	h.io.Lock() // so that nothing that waits is written meanwhile
	defer h.io.Unlock()
	h.mu.Lock()
	if h.meter == nil {
		h.mu.Unlock()
		return nil, nil
	}
	names := h.meter.names()
	h.mu.Unlock()
	t := newTable(q, names)
	if h.file != nil {
		h.file.read(t.first, t.end, t.add)
	}
	h.mu.Lock()
	for _, r := range h.waiting {
		t.add(r)
	}
	h.mu.Unlock()
	return t.answer(), nil
}

// A table has what an answer is made of.
type table struct {
	query      Query
	names      []string
	first, end int64 // minutes
	minutes    map[int64]*record
}

func newTable(q Query, names []string) *table {
	return &table{q, names, q.From.Unix() / 60, q.To.Unix() / 60, map[int64]*record{}}
}

// add takes a record in. What is said again of a minute counts instead of what was said
// before.
func (t *table) add(r *record) {
	if r.minute < t.first || r.minute >= t.end {
		return
	}
	before := t.minutes[r.minute]
	if before == nil || r.again {
		before = &record{values: make([]uint64, len(t.names))}
		t.minutes[r.minute] = before
	}
	before.add(r)
}

// answer sums up the minutes of each step.
func (t *table) answer() *Answer {
	perStep := int64(t.query.Step / time.Minute)
	steps := make([]record, (t.end-t.first)/perStep)
	for minute, r := range t.minutes {
		s := &steps[(minute-t.first)/perStep]
		if s.values == nil {
			s.values = make([]uint64, len(t.names))
		}
		r.millis = min(r.millis, millisOfMinute) // of two processes side by side
		s.add(r)
	}
	a := &Answer{From: t.query.From, To: t.query.To, StepS: int64(t.query.Step / time.Second), Dropped: map[string]Series{}}
	for _, s := range steps {
		a.Seconds = append(a.Seconds, float64(s.millis)/1e3)
	}
	c := columnsIn{t.names, steps}
	a.ReceivedBytes, a.ReceivedPackets = c.sum("received_bytes"), c.sum("received_packets")
	a.SentBytes, a.SentPackets = c.sum("sent_bytes"), c.sum("sent_packets")
	a.DroppedBytes, a.DroppedPackets = c.sum("dropped_bytes"), c.sum("dropped_packets")
	a.Peers, a.RemotePeers, a.Homes, a.Conns = c.mean("peers"), c.mean("remote_peers"), c.mean("homes"), c.mean("conns")
	a.Accepted, a.Rejected, a.Logins, a.Refused = c.sum("accepted"), c.sum("rejected"), c.sum("logins"), c.sum("refused")
	a.CPU, a.Memory = c.times("cpu_us", 1e-6), c.mean("memory")
	a.Checks, a.ChecksFailed, a.Unhealthy = c.sum("checks"), c.sum("checks_failed"), c.times("unhealthy", 1e-3)
	for _, name := range t.names {
		if reason, is := strings.CutPrefix(name, dropped); is {
			if of := c.sum(name); slices.ContainsFunc(of, func(n float64) bool { return n > 0 }) {
				a.Dropped[reason] = of
			}
		}
	}
	a.QueueMean, a.QueueP50, a.QueueP99 = c.queue()
	return a
}

// columnsIn are the steps of a table, column by column.
type columnsIn struct {
	names []string
	steps []record
}

// each returns a value for each step of which something is known.
func (c columnsIn) each(name string, value func(of uint64, step *record) float64) Series {
	at := slices.Index(c.names, name)
	s := make(Series, len(c.steps))
	for i := range c.steps {
		s[i] = math.NaN()
		if step := &c.steps[i]; at >= 0 && step.millis > 0 {
			s[i] = value(step.values[at], step)
		}
	}
	return s
}

func (c columnsIn) sum(name string) Series { return c.times(name, 1) }

func (c columnsIn) times(name string, unit float64) Series {
	return c.each(name, func(of uint64, _ *record) float64 { return rounded(float64(of)*unit, 1e6) })
}

// mean is that of something that is so many at a time.
func (c columnsIn) mean(name string) Series {
	return c.each(name, func(of uint64, step *record) float64 { return rounded(float64(of)/float64(step.millis), 100) })
}

func rounded(v, to float64) float64 { return math.Round(v*to) / to }

// queue returns mean, median and 99th percentile of the times in outboxes.
func (c columnsIn) queue() (mean, p50, p99 Series) {
	var bounds []float64
	var at []int
	for i, name := range c.names {
		if text, is := strings.CutPrefix(name, queued); is {
			bound, err := strconv.ParseFloat(text, 64)
			if err != nil {
				continue
			}
			bounds, at = append(bounds, bound), append(at, i)
		}
	}
	of := func(step *record) (counts []uint64, n uint64) {
		for _, i := range at {
			counts = append(counts, step.values[i])
			n += step.values[i]
		}
		return counts, n
	}
	mean = c.each("queue_us", func(us uint64, step *record) float64 {
		_, n := of(step)
		if n == 0 {
			return math.NaN()
		}
		return rounded(float64(us)/1e6/float64(n), 1e9)
	})
	quantile := func(q float64) Series {
		return c.each("queue_us", func(_ uint64, step *record) float64 {
			counts, n := of(step)
			return rounded(quantile(q, bounds, counts, n), 1e9)
		})
	}
	return mean, quantile(0.5), quantile(0.99)
}

// quantile returns the value below which a part q of n values is, which are counted in
// buckets with these upper bounds. Within a bucket they are taken to be spread evenly; of
// those in the last, which has no bound, no more is known than where it begins.
func quantile(q float64, bounds []float64, counts []uint64, n uint64) float64 {
	if n == 0 {
		return math.NaN()
	}
	rank, below, from := q*float64(n), 0.0, 0.0
	for i, count := range counts {
		if up := below + float64(count); up >= rank && count > 0 {
			if math.IsInf(bounds[i], 1) {
				return from
			}
			return from + (bounds[i]-from)*(rank-below)/float64(count)
		}
		below += float64(count)
		from = bounds[i]
	}
	return from
}
