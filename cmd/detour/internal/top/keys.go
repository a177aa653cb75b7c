package top

import (
	"strings"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/who"
	"github.com/detour-relay/detour/internal/clients"
)

// mostTyped bounds the line of the filter.
const mostTyped = 300

// help are the keys, for the page that says them all.
var help = [][2]string{
	{"up, down, j, k", "select a connection"},
	{"enter", "all of one key; esc: back"},
	{"left, right", "sort by the column beside"},
	{"r", "the other way round"},
	{"t", "sort by the traffic of now"},
	{"/", "filter: key=, network=, label=, app=, or a bare address or key"},
	{"space", "pause, and go on"},
	{"+, -", "more or less often"},
	{"c", "close the connections of the key"},
	{"b", "ban the key"},
	{"q", "quit"},
}

// press does what a key is for.
func (s *screen) press(m tea.KeyPressMsg) tea.Cmd {
	if m.String() == "ctrl+c" {
		return tea.Quit
	}
	switch {
	case s.question != nil:
		return s.answer(m)
	case s.typing:
		s.write(m)
		return nil
	case s.helping:
		s.helping = false
		return nil
	}
	s.said = ""
	return s.command(m.String())
}

func (s *screen) command(pressed string) tea.Cmd {
	switch pressed {
	case "q":
		return tea.Quit
	case "esc":
		s.back()
	case "up", "k":
		s.move(-1)
	case "down", "j":
		s.move(1)
	case "pgup":
		s.move(-s.room())
	case "pgdown":
		s.move(s.room())
	case "home":
		s.move(-clients.MostLimit)
	case "end":
		s.move(clients.MostLimit)
	case "enter":
		s.open()
	case "?", "h":
		s.helping = true
	case "/":
		s.typing, s.typed = true, s.filter.String()
	case "space", "p":
		s.paused = !s.paused
		s.ask()
	case "c":
		s.begin(closing)
	case "b":
		s.begin(banning)
	default:
		s.arrange(pressed)
	}
	return nil
}

// arrange is for keys that change order and pace.
func (s *screen) arrange(pressed string) {
	switch pressed {
	case "left", "<":
		s.order(-1)
	case "right", ">":
		s.order(1)
	case "r":
		if strings.HasPrefix(s.sort, "-") {
			s.sort = s.sort[1:]
		} else {
			s.sort = "-" + s.sort
		}
		s.ask()
	case "t":
		s.sort = "-" + clients.ByRate
		s.ask()
	case "+", "=":
		s.pace(s.every / 2)
	case "-":
		s.pace(s.every * 2)
	}
}

// Samples come no more often, and no less.
const (
	Fastest = 500 * time.Millisecond
	Slowest = time.Minute
)

func (s *screen) pace(every time.Duration) {
	s.every = min(max(every, Fastest), Slowest)
	s.ask()
}

// open shows all of one key.
func (s *screen) open() {
	if row := s.row(); row != nil && s.detail == nil {
		copied := *row
		s.detail = &copied
		s.ask()
	}
}

// back leaves what was opened last.
func (s *screen) back() {
	switch {
	case s.detail != nil:
		s.selected, s.detail = s.detail.ID, nil
	case s.filter.String() != "":
		s.filter = Filter{}
	default:
		return
	}
	s.ask()
}

// write is a key in the line of the filter.
func (s *screen) write(m tea.KeyPressMsg) {
	switch m.String() {
	case "esc":
		s.typing = false
	case "enter":
		f, err := ParseFilter(s.typed)
		if err != nil {
			s.said = cli.Clean(err.Error(), 200)
			return
		}
		s.typing, s.said, s.filter = false, "", f
		s.ask()
	case "backspace":
		if r := []rune(s.typed); len(r) > 0 {
			s.typed = string(r[:len(r)-1])
		}
	case "ctrl+u":
		s.typed = ""
	default:
		if text := m.Key().Text; text != "" && len(s.typed) < mostTyped && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			s.typed += text
		}
	}
}

// target is the key that a question is about.
func (s *screen) target() *who.Row {
	if s.detail != nil {
		return s.detail
	}
	return s.row()
}
