package top

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/who"
	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/internal/control"
)

// A screen is the model of the program. The library calls its methods one at a time.
type screen struct {
	ctx  context.Context // ends what keys have begun
	c    *Config
	feed *feed

	width, height int
	asked         int // number of the question that is asked
	sample        *control.Sample
	rows          []who.Row
	table         *who.Table
	lost          string // why the relay says nothing; empty: it does
	in, out       []float64

	// What keys have chosen.
	sort     string
	filter   Filter
	every    time.Duration
	paused   bool
	selected uint64 // connection; 0: the first
	detail   *who.Row
	helping  bool

	typing   bool   // the line of the filter is open
	typed    string // what stands in it
	question *question
	said     string // what came of the last key
}

func newScreen(ctx context.Context, c *Config, f *feed) *screen {
	return &screen{ctx: ctx, c: c, feed: f, width: 80, height: 24, sort: c.Sort, filter: c.Filter, every: c.Every}
}

// Init asks for the first sample.
func (s *screen) Init() tea.Cmd {
	s.ask()
	return nil
}

// asks for tens of connections at a time, so that not each change of the window's size is
// another question.
const tens = 10

// ask has the feed bring what is to be seen.
func (s *screen) ask() {
	switch limit := min((s.room()+tens)/tens*tens, clients.MostLimit); {
	case s.paused:
		s.asked = s.feed.ask(nil)
	case s.detail != nil:
		one := Filter{Keys: []string{s.detail.Peer.String()}}
		s.asked = s.feed.ask(one.Values(s.sort, clients.UsualLimit, s.every))
	default:
		s.asked = s.feed.ask(s.filter.Values(s.sort, limit, s.every))
	}
}

// Update is told of everything that happens.
func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		before := (s.room() + tens) / tens
		if s.width, s.height = m.Width, m.Height; (s.room()+tens)/tens != before && s.detail == nil {
			s.ask()
		}
		s.layOut()
	case sampled:
		s.take(m)
	case lost:
		if m.question == s.asked {
			s.lost = cli.Clean(m.err.Error(), 300)
		}
	case done:
		s.said = m.text
	case tea.PasteMsg:
		if s.typing {
			s.typed += cli.Clean(m.Content, mostTyped)
		}
	case tea.KeyPressMsg:
		return s, s.press(m)
	}
	return s, nil
}

// mostPoints are kept for the graphs.
const mostPoints = 200

// take shows a sample, unless something else has been asked meanwhile.
func (s *screen) take(m sampled) {
	if m.question != s.asked || s.paused {
		return
	}
	s.sample, s.lost = m.Sample, ""
	s.in, s.out = append(s.in, m.In.Bytes), append(s.out, m.Out.Bytes)
	if len(s.in) > mostPoints {
		s.in, s.out = s.in[1:], s.out[1:]
	}
	s.rows = s.rows[:0]
	for i := range m.Busiest {
		b := &m.Busiest[i]
		s.rows = append(s.rows, who.Row{PeerState: b.State(), In: b.InRate, Out: b.OutRate})
	}
	if s.detail != nil {
		if at := s.at(s.detail.ID); at >= 0 {
			row := s.rows[at]
			s.detail = &row
		}
	}
	s.layOut()
}

// layOut fits the rows into the window.
func (s *screen) layOut() {
	now := time.Now()
	if s.sample != nil {
		now = s.sample.At
	}
	s.table = who.New(s.rows[:min(len(s.rows), s.room())], who.Live(), now, max(s.width, 1))
}

// at is the place of a connection; -1: it is not shown.
func (s *screen) at(id uint64) int {
	return slices.IndexFunc(s.rows, func(r who.Row) bool { return r.ID == id })
}

// row is the one that is selected; nil: there is none.
func (s *screen) row() *who.Row {
	shown := min(len(s.rows), s.room())
	if shown == 0 {
		return nil
	}
	at := s.at(s.selected)
	if at < 0 || at >= shown {
		at = 0
	}
	return &s.rows[at]
}

// move selects another row.
func (s *screen) move(by int) {
	now := s.row()
	if now == nil {
		return
	}
	at := min(max(s.at(now.ID)+by, 0), min(len(s.rows), s.room())-1)
	s.selected = s.rows[at].ID
}

// order sorts by the column so many beside the one of now.
func (s *screen) order(by int) {
	var names []string
	for _, c := range s.table.Columns {
		if c.By != "" {
			names = append(names, c.By)
		}
	}
	name, dash := strings.TrimPrefix(s.sort, "-"), ""
	if len(names) == 0 {
		return
	}
	at := slices.Index(names, name) // -1: it has no column, and stands before all
	if at < 0 && by < 0 {
		at = 0
	}
	if name = names[(at+by+len(names))%len(names)]; !slices.Contains([]string{"key", "ip", "label", "app"}, name) {
		dash = "-"
	}
	s.sort = dash + name
	s.ask()
}
