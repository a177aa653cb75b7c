package daemon

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/history"
)

// askHistory returns the last five minutes in one step or two.
func askHistory(t *testing.T, d *Daemon) *history.Answer {
	t.Helper()
	code, text := ask(t, http.MethodGet, "http://"+d.State().Admin+"/history?from=-5m&step=10m", "")
	var a history.Answer
	if err := json.Unmarshal([]byte(text), &a); err != nil || code != http.StatusOK {
		t.Fatalf("%d %v: %s", code, err, text)
	}
	return &a
}

// known adds up what is known of a series.
func known(s history.Series) (sum float64) {
	for _, v := range s {
		if v == v {
			sum += v
		}
	}
	return sum
}

// What relays have done one after the other is in one history, whether another has the
// file already or not.
func TestHistoryOutlivesTheRelay(t *testing.T) {
	c := stateful(t)
	c.Admin = "127.0.0.1:0"
	path := filepath.Join(c.StateDir, "history.db")
	// A relay that runs shorter than a minute makes none: there is one from before.
	before := history.New(history.Config{Path: path, Look: func() history.Reading { return history.Reading{} }})
	before.Update("", false)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		d := open(t, c, Options{})
		end := run(t, d)
		conn, err := login(t, d)
		if err != nil {
			t.Fatal(err)
		}
		spend(t, conn, 10)
		eventually(t, "all has come in", func() bool { return d.Counters().Received.Other.Packets == 10 })
		conn.Close()
		eventually(t, "it has left", func() bool { return d.Counters().Conns == 0 })
		if got := askHistory(t, d); got.StepS != 600 || known(got.ReceivedPackets) < float64(10*i) {
			t.Errorf("%+v", got)
		}
		end()
	}
	d := open(t, c, Options{})
	run(t, d)
	a := askHistory(t, d)
	if known(a.ReceivedPackets) != 20 || known(a.ReceivedBytes) != 20_000 || known(a.Logins) != 2 || known(a.Dropped["unknown_dest"]) != 20 {
		t.Errorf("%+v", a)
	}
	if cpu := known(a.CPU); cpu <= 0 || known(a.Memory) < 1<<20 {
		t.Errorf("%v s, %v bytes", cpu, a.Memory)
	}
}

// During a takeover two processes have one state directory, and both relay.
func TestHistoryOfTwoAtOnce(t *testing.T) {
	c := stateful(t)
	c.Admin, c.AdminSocket = "127.0.0.1:0", config.AdminSocketOff
	made := history.New(history.Config{Path: filepath.Join(c.StateDir, "history.db"), Look: func() history.Reading { return history.Reading{} }})
	made.Update("", false)
	var both []*Daemon
	var ends []func()
	for range 2 {
		d := open(t, c, Options{})
		both, ends = append(both, d), append(ends, run(t, d))
	}
	for i, d := range both {
		conn, err := login(t, d)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		spend(t, conn, 10*(i+1))
		eventually(t, "all has come in", func() bool { return d.Counters().Received.Other.Packets == uint64(10*(i+1)) })
	}
	for _, end := range ends {
		end()
	}
	d := open(t, c, Options{})
	run(t, d)
	if a := askHistory(t, d); known(a.ReceivedPackets) != 30 || known(a.Logins) != 2 {
		t.Errorf("%+v", a)
	}
}

func statusOf(t *testing.T, d *Daemon) (s admin.Status, text string) {
	t.Helper()
	code, text := ask(t, http.MethodGet, "http://"+d.State().Admin+"/status", "")
	if err := json.Unmarshal([]byte(text), &s); err != nil || code != http.StatusOK {
		t.Fatalf("%d %v: %s", code, err, text)
	}
	return s, text
}

func TestHistoryIsKeptElsewhere(t *testing.T) {
	c := stateful(t)
	c.Admin = "127.0.0.1:0"
	d := open(t, c, Options{})
	run(t, d)
	if s, text := statusOf(t, d); s.History == nil || s.History.File != filepath.Join(c.StateDir, "history.db") || s.History.Error != "" {
		t.Errorf("%s", text)
	}
	next := d.Config()
	next.History = config.HistoryOff
	if _, err := d.Reload(next); err != nil {
		t.Fatal(err)
	}
	if s, text := statusOf(t, d); s.History != nil {
		t.Errorf("%s", text)
	}
	if code, text := ask(t, http.MethodGet, "http://"+d.State().Admin+"/history", ""); code != http.StatusNotFound || !strings.Contains(text, "keeps no history") {
		t.Errorf("%d %s", code, text)
	}
	next.History = filepath.Join(t.TempDir(), "sub", "other.db")
	if _, err := d.Reload(next); err != nil {
		t.Fatal(err)
	}
	if s, text := statusOf(t, d); s.History == nil || s.History.File != next.History {
		t.Errorf("%s", text)
	}
}

// A file that is not ours neither changes nor disturbs the relay, which says so.
func TestHistoryThatCannotBeKept(t *testing.T) {
	c := stateful(t)
	c.Admin, c.History = "127.0.0.1:0", filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(c.History, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, c, Options{})
	run(t, d)
	conn, err := login(t, d)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	next := d.Config()
	next.History = filepath.Join(t.TempDir(), "other.db")
	if _, err := d.Reload(next); err != nil { // what there is so far is to be written
		t.Fatal(err)
	}
	if text, err := os.ReadFile(c.History); err != nil || string(text) != "somebody's" {
		t.Errorf("%q, %v", text, err)
	}
	next.History = c.History
	if _, err := d.Reload(next); err != nil {
		t.Fatal(err)
	}
	if _, err := login(t, d); err != nil {
		t.Error(err)
	}
}

func TestHistoryOfADevelopersRelay(t *testing.T) {
	c := plain()
	c.Admin = "127.0.0.1:0"
	d := open(t, c, Options{})
	run(t, d)
	s, text := statusOf(t, d)
	if s.History == nil || s.History.File != "" || !strings.Contains(text, `"file": ""`) {
		t.Errorf("%s", text)
	}
	if a := askHistory(t, d); len(a.Seconds) == 0 || a.To.Sub(a.From) > time.Hour {
		t.Errorf("%+v", a)
	}
}
