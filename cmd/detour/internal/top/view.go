package top

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/who"
)

// Attributes of text; only alarm is a colour.
const (
	bold    = "\x1b[1m"
	faint   = "\x1b[2m"
	reverse = "\x1b[7m"
	alarm   = "\x1b[31m"
	plain   = "\x1b[m"
)

// around are the lines that are no connections: four of totals, one of news, the head and
// the keys. Small windows have the first of totals only.
const (
	around      = 7
	fewAround   = 4
	smallWindow = 12
)

// room is how many connections fit.
func (s *screen) room() int {
	if s.height < smallWindow {
		return max(s.height-fewAround, 1)
	}
	return max(s.height-around, 1)
}

// View is the whole screen.
func (s *screen) View() tea.View {
	v := tea.NewView(strings.Join(s.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "detour top"
	return v
}

// lines are as many as fit, none wider than the window.
func (s *screen) lines() []string {
	lines := s.totals()
	if s.height < smallWindow {
		lines = lines[:1]
	}
	lines = append(lines, s.news())
	switch {
	case s.helping:
		for _, h := range help {
			lines = append(lines, fmt.Sprintf("  %-16s %s", h[0], h[1]))
		}
	case s.detail != nil:
		lines = append(lines, s.details()...)
	case s.table != nil:
		lines = append(lines, s.list()...)
	}
	for len(lines) < s.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:max(min(len(lines), s.height-1), 0)], s.keys())
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], max(s.width, 1), "")
	}
	return lines
}

func (s *screen) styled(style, text string) string {
	if style == alarm && !s.c.Colour {
		style = bold
	}
	return style + text + plain
}

// totals are what all do together.
func (s *screen) totals() []string {
	title := s.styled(bold, "detour top") + "  " + cli.Clean(s.c.At, 60)
	if s.sample == nil {
		return []string{title, "", "", ""}
	}
	n := s.sample
	title += fmt.Sprintf("  %s of %s, %d at home here  %s  every %s", cli.Counted(int(n.Conns), "connection"), cli.Counted(int(n.Peers), "key"), n.Homes, cli.Clean(n.Version, 30), s.every)
	if s.paused {
		title += "  " + s.styled(reverse, " paused ")
	}
	dropped := 0.0
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(n.Dropped)) {
		dropped += n.Dropped[reason].Packets
		reasons = append(reasons, fmt.Sprintf("%s %.1f", cli.Clean(reason, 30), n.Dropped[reason].Packets))
	}
	drops := fmt.Sprintf("dropped  %.1f packets/s", dropped)
	if dropped > 0 {
		drops = s.styled(alarm, drops) + "  " + strings.Join(reasons, ", ")
	}
	return []string{title, s.traffic("in ", n.In.Packets, n.In.Bytes, s.in), s.traffic("out", n.Out.Packets, n.Out.Bytes, s.out), drops + fmt.Sprintf("  queued  %d", n.Queued)}
}

// traffic is one direction with its graph.
func (s *screen) traffic(name string, packets, bytes float64, points []float64) string {
	text := fmt.Sprintf("%s  %12s  %9.1f packets/s  ", name, cli.Filled(who.PerSecond(bytes)), packets)
	return text + graph(points, s.width-len(text), s.c.UTF8)
}

// news is what a person has to know, or is asked.
func (s *screen) news() string {
	switch {
	case s.typing && s.said != "":
		return s.styled(alarm, s.said)
	case s.question != nil:
		return s.styled(bold, s.question.String())
	case s.lost != "":
		return s.styled(alarm, "the relay says nothing, it is asked again every second: "+s.lost)
	case s.said != "":
		return s.said
	case s.sample == nil:
		return "asking the relay"
	case s.filter.String() != "" && s.detail == nil:
		return "only " + cli.Clean(s.filter.String(), 200) + ": " + cli.Counted(s.sample.Matched, "connection")
	}
	return ""
}

// list are the head and the connections.
func (s *screen) list() []string {
	head := s.table.Head()
	name, down := strings.TrimPrefix(s.sort, "-"), strings.HasPrefix(s.sort, "-")
	for _, c := range s.table.Columns {
		if c.By == name {
			head = strings.Replace(head, strings.ToUpper(c.Name), mark(strings.ToUpper(c.Name), down), 1)
		}
	}
	lines := []string{s.styled(faint, head)}
	selected := s.row()
	for i, line := range s.table.Lines() {
		if selected != nil && s.rows[i].ID == selected.ID {
			line = s.styled(reverse, line+strings.Repeat(" ", max(s.width-ansi.StringWidth(line), 0)))
		}
		lines = append(lines, line)
	}
	if len(s.rows) == 0 && s.sample != nil {
		lines = append(lines, "nobody")
	}
	return lines
}

// mark shows by which column is sorted, without moving the others.
func mark(name string, down bool) string {
	style := "\x1b[22;4m"
	if down {
		style = "\x1b[22;1m"
	}
	return style + name + "\x1b[22;24;2m"
}

// details are all columns of one connection, and how many others its key has.
func (s *screen) details() []string {
	now := time.Now()
	if s.sample != nil {
		now = s.sample.At
	}
	var lines []string
	for _, c := range who.Live() {
		lines = append(lines, fmt.Sprintf("  %-12s %s", c.Name, cli.Filled(cli.Clean(c.Cell(s.detail, now), 120))))
	}
	if s.at(s.detail.ID) < 0 {
		lines = append(lines, "", "  it has left")
	} else if others := len(s.rows) - 1; others > 0 {
		lines = append(lines, "", "  its key has "+cli.Counted(others, "other connection"))
	}
	return lines
}

// keys is the last line.
func (s *screen) keys() string {
	if s.typing {
		return "filter: " + s.typed + s.styled(reverse, " ") + "  enter, esc"
	}
	if s.detail != nil {
		return s.styled(faint, "esc back  c close  b ban  space pause  ? help  q quit")
	}
	return s.styled(faint, "enter detail  / filter  left right sort  r reverse  t traffic  space pause  + - pace  c close  b ban  ? help  q quit")
}

// Steps of graphs, the smallest first.
var (
	steps      = []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}
	plainSteps = []string{".", ":", "-", "=", "+", "*", "#", "@"}
)

// graph has the last points, the newest on the right, against the most of them.
func graph(points []float64, width int, utf8 bool) string {
	if width <= 0 || len(points) == 0 {
		return ""
	}
	points = points[max(len(points)-width, 0):]
	most := slices.Max(points)
	with := steps
	if !utf8 {
		with = plainSteps
	}
	var b strings.Builder
	for _, p := range points {
		at := 0
		if most > 0 {
			at = min(int(p/most*float64(len(with))), len(with)-1)
		}
		b.WriteString(with[at])
	}
	return b.String()
}
