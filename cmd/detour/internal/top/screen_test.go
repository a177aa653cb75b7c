package top

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// screenOf is one that has had a sample of so many connections.
func screenOf(t *testing.T, width, height, n int) *screen {
	t.Helper()
	s := newScreen(t.Context(), &Config{At: "here\x1b[2J", Every: 2 * time.Second}, &feed{changed: make(chan struct{}, 1)})
	s.sort, s.every = "-"+clients.ByRate, 2*time.Second
	s.Init()
	s.Update(tea.WindowSizeMsg{Width: width, Height: height})
	s.Update(sampled{s.asked, sampleOf(n)})
	return s
}

func sampleOf(n int) *control.Sample {
	m := &control.Sample{
		At: time.Unix(5000, 0), Version: "v1\x9b2J", Conns: int64(n), Peers: int64(n), Matched: n, In: control.Rate{Packets: 3, Bytes: 4e6},
		Dropped: map[string]control.Rate{"outbox_full": {Packets: 2}},
	}
	for i := range n {
		p := relay.PeerState{ID: uint64(i + 1), Peer: key.Public{byte(i), 1}, AppName: "a\x1b]0;x\a\u202e界", Group: "=cmd()\nb", Since: time.Unix(4000, 0)}
		m.Busiest = append(m.Busiest, control.Busy{Peer: control.PeerOf(&p), InRate: float64(1000 - i)})
	}
	return m
}

func press(s *screen, keys ...string) (cmd tea.Cmd) {
	for _, k := range keys {
		m := tea.KeyPressMsg{}
		switch k {
		case "enter":
			m.Code = tea.KeyEnter
		case "esc":
			m.Code = tea.KeyEscape
		case "down":
			m.Code = tea.KeyDown
		case "right":
			m.Code = tea.KeyRight
		case "left":
			m.Code = tea.KeyLeft
		case "backspace":
			m.Code = tea.KeyBackspace
		case "space":
			m.Code, m.Text = tea.KeySpace, " "
		default:
			m.Code, m.Text = []rune(k)[0], k
		}
		_, cmd = s.Update(m)
	}
	return cmd
}

// Whatever the size of the window, and whatever is open, the screen has as many lines as
// the window, none too long, and nothing in them is an order but ours.
func TestScreenFitsItsWindow(t *testing.T) {
	for _, keys := range [][]string{nil, {"?"}, {"enter"}, {"/"}, {"b"}, {"space"}, {"right"}} {
		for width := 1; width < 200; width += 7 {
			for height := 1; height < 60; height += 3 {
				s := screenOf(t, width, height, 40)
				press(s, keys...)
				lines := s.lines()
				if len(lines) != height {
					t.Fatalf("%q: %d lines for %d", keys, len(lines), height)
				}
				for _, line := range lines {
					if n := ansi.StringWidth(line); n > width {
						t.Fatalf("%q: %d columns for %d: %q", keys, n, width, line)
					}
					bare := ansi.Strip(line)
					if strings.ContainsAny(bare, "\x1b\a\n\u202e\u009b") {
						t.Fatalf("%q: an order: %q", keys, line)
					}
				}
			}
		}
	}
}

// The selection stays with its connection wherever that goes.
func TestSelectionFollowsItsConnection(t *testing.T) {
	s := screenOf(t, 120, 30, 5)
	press(s, "down", "down")
	if got := s.row().ID; got != 3 {
		t.Fatalf("%d is selected", got)
	}
	turned := sampleOf(5)
	turned.Busiest[0], turned.Busiest[2] = turned.Busiest[2], turned.Busiest[0]
	s.Update(sampled{s.asked, turned})
	if got := s.row(); got.ID != 3 || s.at(3) != 0 {
		t.Errorf("%d is selected", got.ID)
	}
	s.Update(sampled{s.asked, sampleOf(2)}) // it has left
	if got := s.row().ID; got != 1 {
		t.Errorf("%d is selected", got)
	}
	s.Update(sampled{s.asked, sampleOf(0)})
	press(s, "down", "enter", "c", "b")
	if s.row() != nil || s.detail != nil || s.question != nil {
		t.Error("nobody is selected")
	}
}

// Keys change what is asked of the relay; an answer to what was asked before is not shown.
func TestKeysAskForSomethingElse(t *testing.T) {
	s := screenOf(t, 120, 30, 5)
	asked := func() url.Values { return s.feed.query }
	old := s.asked
	press(s, "right")
	if got := asked().Get("sort"); got != "key" {
		t.Errorf("sort %q", got)
	}
	press(s, "right")
	if got := asked().Get("sort"); got != "-"+clients.ByRateIn {
		t.Errorf("sort %q", got)
	}
	press(s, "r")
	if got := asked().Get("sort"); got != clients.ByRateIn {
		t.Errorf("sort %q", got)
	}
	press(s, "t", "left", "t", "+", "+", "+", "+")
	if got := asked(); got.Get("sort") != "-"+clients.ByRate || got.Get("every") != Fastest.String() {
		t.Errorf("asked %v", got)
	}
	s.Update(sampled{old, sampleOf(1)})
	if len(s.rows) != 5 {
		t.Error("an old answer is shown")
	}
	press(s, "space")
	if asked() != nil || !strings.Contains(strings.Join(s.lines(), "\n"), "paused") {
		t.Error("it is not paused")
	}
	press(s, "space", "enter")
	if got := asked().Get("key"); got != (key.Public{0, 1}).String() {
		t.Errorf("key %q", got)
	}
	press(s, "esc")
	if got := asked(); got.Has("key") {
		t.Errorf("asked %v", got)
	}
}

func TestFilterLine(t *testing.T) {
	s := screenOf(t, 120, 30, 5)
	press(s, "/", "x", "y", "=", "z", "enter")
	if !s.typing || !strings.Contains(s.said, "write key=, network=, label= or app=") {
		t.Errorf("%q", s.said)
	}
	press(s, "backspace", "backspace", "backspace", "backspace")
	for _, r := range "app=a 10.0.0.0/8 ab12 label=" {
		if k := string(r); k == " " {
			press(s, "space")
		} else {
			press(s, k)
		}
	}
	press(s, "enter")
	if got := s.feed.query.Encode(); s.typing || got != "app=a&every=2s&key=ab12&label=&limit=30&network=10.0.0.0%2F8&sort=-rate" {
		t.Errorf("%v %q", s.typing, got)
	}
	s.Update(tea.PasteMsg{Content: "ignored"})
	press(s, "/")
	s.Update(tea.PasteMsg{Content: strings.Repeat("x\x1b", 1<<20)})
	if len(s.typed) > 2*mostTyped {
		t.Errorf("%d bytes were taken", len(s.typed))
	}
	press(s, "esc", "esc")
	if got := s.filter.String(); got != "" {
		t.Errorf("filter %q", got)
	}
}

// Nothing happens without a yes, and what was done or went wrong is told.
func TestQuestionsComeFirst(t *testing.T) {
	s := screenOf(t, 120, 30, 5)
	press(s, "b")
	if s.question != nil || !strings.Contains(s.said, "this address only tells") {
		t.Fatalf("%q", s.said)
	}
	var banned []time.Duration
	s.c.Close = func(context.Context, key.Public) (string, error) { return "", errors.New("no\nway") }
	s.c.Ban = func(_ context.Context, k key.Public, during time.Duration) (string, error) {
		banned = append(banned, during)
		return k.Short() + " is banned", nil
	}
	for _, no := range []string{"n", "x", "enter", "esc"} {
		if cmd := press(s, "b", no); cmd != nil || s.said != "nothing was done" {
			t.Errorf("%s: %q", no, s.said)
		}
	}
	if cmd := press(s, "c", "h"); cmd != nil {
		t.Error("closed for an hour")
	}
	for _, yes := range []string{"y", "h", "d"} {
		s.Update(press(s, "b", yes)())
		if !strings.Contains(s.said, "is banned") {
			t.Errorf("%s: %q", yes, s.said)
		}
	}
	if len(banned) != 3 || banned[0] != 0 || banned[1] != time.Hour || banned[2] != 24*time.Hour {
		t.Errorf("%v", banned)
	}
	s.Update(press(s, "c", "y")())
	if s.said != "no way" {
		t.Errorf("%q", s.said)
	}
}

// The feed asks again when the relay was lost, at once when something else is asked, and
// not at all while it is paused.
func TestFeedAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var asked []string
		f := &feed{changed: make(chan struct{}, 1), from: func(ctx context.Context, q url.Values, each func(*control.Sample) error) error {
			asked = append(asked, q.Get("sort"))
			if q.Get("sort") == "lost" {
				return errors.New("gone")
			}
			if err := each(&control.Sample{}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		var told []tea.Msg
		ended := make(chan struct{})
		go func() {
			f.run(ctx, func(m tea.Msg) { told = append(told, m) })
			close(ended)
		}()
		synctest.Wait()
		f.ask(url.Values{"sort": {"lost"}})
		time.Sleep(again*2 + again/2)
		n := f.ask(url.Values{"sort": {"b"}})
		synctest.Wait()
		f.ask(nil)
		time.Sleep(time.Hour)
		cancel()
		<-ended
		if got := strings.Join(asked, " "); got != "lost lost lost b" {
			t.Errorf("asked %q", got)
		}
		if last, ok := told[len(told)-1].(sampled); !ok || last.question != n || len(told) != 4 {
			t.Errorf("told %v", told)
		}
	})
}
