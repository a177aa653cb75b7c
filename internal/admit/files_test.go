package admit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/logtest"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// notes collects a log.
type notes struct{ logtest.Log }

func (n *notes) count(what string) int {
	return strings.Count(n.String(), what)
}

func (n *notes) logger() *slog.Logger { return slog.New(slog.NewTextHandler(n, nil)) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func admits(c *Chain, p key.Public) bool {
	_, why := outcome(c, applicant(p))
	return why == ""
}

func TestListsAreReadWhenTheyChange(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	write(t, path, k(1).String())
	synctest.Test(t, func(t *testing.T) {
		h, log := &house{}, &notes{}
		c := newChain(t, Config{Access: config.Access{Keys: []string{path}}, Peers: h, Logger: log.logger()})
		stop := running(t, c)
		defer stop()
		h.join(relay.PeerState{Peer: k(1)})
		for _, step := range []struct {
			name   string
			change func()
			in     []int
			says   string // in the snapshot
		}{
			{"written", func() { write(t, path, fmt.Sprintf("%v\n%v\n", k(1), k(2))) }, []int{1, 2}, ""},
			{"wrong", func() { write(t, path, k(3).String()+"\nnonsense\n") }, []int{1, 2}, "keys:2: \"nonsense\" is no key"},
			{"mended", func() { write(t, path, fmt.Sprintf("%v\n%v\n%v", k(1), k(2), k(3))) }, []int{1, 2, 3}, ""},
			{"emptied", func() { write(t, path, "") }, []int{1, 2, 3}, "is empty, and had keys before"},
			{"gone", func() { os.Remove(path) }, []int{1, 2, 3}, "no such file"},
			{"a directory", func() { os.Mkdir(path, 0o700) }, []int{1, 2, 3}, "is a directory"},
			{"replaced by rename", func() {
				os.Remove(path)
				write(t, path+".new", k(2).String())
				os.Rename(path+".new", path)
			}, []int{2}, ""},
			{"nobody, on purpose", func() { write(t, path, "# nobody\n") }, nil, ""},
		} {
			step.change()
			time.Sleep(3 * lookAt)
			synctest.Wait()
			var in []int
			for n := 1; n <= 3; n++ {
				if admits(c, k(n)) {
					in = append(in, n)
				}
			}
			s := c.Snapshot()
			if fmt.Sprint(in) != fmt.Sprint(step.in) || step.says == "" && s.Keys[0].Error != "" || !strings.Contains(s.Keys[0].Error, step.says) {
				t.Errorf("%s: %v are in, want %v; %q, want %q", step.name, in, step.in, s.Keys[0].Error, step.says)
			}
		}
		time.Sleep(time.Minute)
		if n := log.count("cannot be read"); n != 4 {
			t.Errorf("what is wrong was told %d times, want 4:\n%s", n, log.String())
		}
		if err := h.ended(k(1)); err != relay.ErrRevoked {
			t.Errorf("who is not in the list any more: %v", err)
		}
		if s := c.Snapshot(); s.Decisions[SourceKeys].Revoked != 1 {
			t.Errorf("%+v", s.Decisions)
		}
	})
}

// Who looks at the connected anyway, just when the rules are others and before the word
// of it has come, knows what they were changed by.
func TestWhoIsCutOffAtOnceIsCutOffByTheList(t *testing.T) {
	path, h := writeFile(t, "keys", k(1).String()), &house{}
	c := newChain(t, Config{Access: config.Access{Keys: []string{path}}, Peers: h})
	h.join(relay.PeerState{Peer: k(1)})
	write(t, path, k(2).String())
	f, err := openKeyFile(path, c.log)
	if err != nil {
		t.Fatal(err)
	}
	c.replaceFile(path, f, nil)
	c.look("", time.Now())
	if s := c.Snapshot(); s.Decisions[SourceKeys].Revoked != 1 || h.ended(k(1)) != relay.ErrRevoked {
		t.Errorf("%+v", s.Decisions)
	}
}

// A file that is still being written is not read: it would be a part of a list.
func TestListsAreLeftAloneWhileTheyAreWritten(t *testing.T) {
	path := writeFile(t, "keys", k(1).String())
	read, err := stampOf(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{path: path, read: read, seen: read}
	for n := range 3 {
		write(t, path, strings.Repeat(k(2).String()+"\n", n+2))
		if changed, err := w.changed(); changed || err != nil {
			t.Errorf("while it grows: %v, %v", changed, err)
		}
	}
	if changed, err := w.changed(); !changed || err != nil {
		t.Errorf("once it stays: %v, %v", changed, err)
	}
	if changed, err := w.changed(); changed || err != nil {
		t.Errorf("read already: %v, %v", changed, err)
	}
}

func TestOpenSaysWhichSettingIsWrong(t *testing.T) {
	bad := writeFile(t, "bad", "nonsense")
	for want, access := range map[string]config.Access{
		"access.keys: " + bad + ":1: \"nonsense\" is no key":  {Keys: []string{bad}},
		"access.keys: stat nowhere: no such file":             {Keys: []string{"nowhere"}},
		`access.verify: "nowhere": want a URL`:                {Verify: []string{"nowhere"}},
		"access.verify-ca: open nowhere":                      {Verify: []string{"http://h/"}, VerifyCA: "nowhere"},
		"access.verify-headers: open nowhere":                 {Verify: []string{"http://h/"}, VerifyHeaders: "nowhere"},
		"access.verify-headers: " + bad + ": line 1 is no":    {Verify: []string{"http://h/"}, VerifyHeaders: bad},
		`access.tailscaled: "http://h": want the path`:        {Tailscaled: []string{"http://h"}},
		`access.deny-apps: "": want the name`:                 {Everyone: true, DenyApps: []string{""}},
		`access.deny-apps: "ä": names of applications`:        {Everyone: true, DenyApps: []string{"ä"}},
		`access.deny-apps: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`: {Everyone: true, DenyApps: []string{strings.Repeat("a", 33)}},
	} {
		c, err := New(Config{Access: access})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if _, ok := errors.AsType[*config.Error](err); !ok {
			t.Errorf("%v is no *config.Error", err)
		}
		if c != nil {
			t.Error("a chain in spite of the error")
		}
	}
}

func TestUpdateThatIsWrongChangesNothing(t *testing.T) {
	c := newChain(t, Config{Access: keysFile(t, k(1).String())})
	before := c.rules.Load()
	if err := c.Update(Config{Access: config.Access{Everyone: true, Keys: []string{"nowhere"}}}); err == nil {
		t.Error("no error")
	}
	if c.rules.Load() != before || admits(c, k(2)) || !admits(c, k(1)) {
		t.Error("something has changed")
	}
}

// Nor does a reload in the moment in which somebody writes a list.
func TestUpdateWaitsForAListThatIsWritten(t *testing.T) {
	all := k(1).String() + "\n" + k(2).String() + "\n"
	path := writeFile(t, "keys", all)
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, Config{Access: config.Access{Keys: []string{path}}})
		write(t, path, "")
		if err := c.Update(Config{Access: c.rules.Load().access}); err == nil || !strings.Contains(err.Error(), path+" is empty, and had keys before") {
			t.Errorf("emptied: %v", err)
		}
		var writing sync.WaitGroup
		defer writing.Wait()
		write(t, path, k(1).String()+"\n")
		writing.Go(func() {
			time.Sleep(settles / 2)
			write(t, path, all+k(3).String())
		})
		must(t, c.Update(Config{Access: c.rules.Load().access}))
		for n := 1; n <= 3; n++ {
			if !admits(c, k(n)) {
				t.Errorf("key %d is out", n)
			}
		}
		write(t, path, k(3).String())
		must(t, c.Update(Config{Access: c.rules.Load().access}))
		if admits(c, k(1)) || !admits(c, k(3)) {
			t.Error("what stays removed is not")
		}
		write(t, path, "# nobody\n")
		must(t, c.Update(Config{Access: c.rules.Load().access}))
		if admits(c, k(3)) {
			t.Error("nobody is to come in")
		}
	})
}

// A list that cannot be kept is not in force either.
func TestChangesThatCannotBeKeptAreRefused(t *testing.T) {
	dir := t.TempDir()
	c := newChain(t, Config{StateDir: dir, Access: config.Access{Managed: true}})
	must(t, c.Allow(Entry{Key: k(1)}))
	must(t, os.Remove(filepath.Join(dir, managedName)))
	must(t, os.Mkdir(filepath.Join(dir, managedName), 0o700)) // nothing can be renamed to it
	for name, err := range map[string]error{
		"allow": c.Allow(Entry{Key: k(2)}), "ban": c.Ban(Ban{Key: k(1)}), "remove": c.Remove(k(1)),
	} {
		if err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), managedName) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Import("net", []Entry{{Key: k(3)}}); err == nil {
		t.Error("import: no error")
	}
	if !admits(c, k(1)) || admits(c, k(2)) || admits(c, k(3)) || len(c.Bans()) != 0 {
		t.Error("something has changed")
	}
}

func TestBadChangesAreRefused(t *testing.T) {
	c := newChain(t, Config{Access: keysFile(t, "# x\n"+k(5).String())})
	past := time.Now().Add(-time.Minute)
	must(t, c.Ban(Ban{Key: k(1), Why: "noise"}))
	for want, err := range map[string]error{
		"the key is missing":                 c.Allow(Entry{}),
		"label \"a b\":":                     c.Allow(Entry{Key: k(2), Label: "a b"}),
		"the entry would have ended already": c.Allow(Entry{Key: k(2), Until: past}),
		"is banned: noise: unban it first":   c.Allow(Entry{Key: k(1)}),
		"the ban would have ended already":   c.Ban(Ban{Key: k(2), Until: past}),
		"the reason \"a\\nb\": want a line":  c.Ban(Ban{Key: k(2), Why: "a\nb"}),
		"was neither allowed nor imported":   c.Remove(k(2)),
		"line 2: remove it there":            c.Remove(k(5)),
		"is not banned":                      c.Unban(k(2)),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, set := range []string{"", "a b", strings.Repeat("x", 99)} {
		if _, err := c.Import(set, []Entry{{Key: k(1)}}); err == nil {
			t.Errorf("set %q: no error", set)
		}
	}
	must(t, c.Unban(k(1)))
	must(t, c.Allow(Entry{Key: k(1)}))
}

// The book may be changed by hand, or by the process that takes over.
func TestTheBookIsReadWhenSomebodyElseWritesIt(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		log := &notes{}
		c := newChain(t, Config{StateDir: dir, Access: config.Access{Managed: true}, Logger: log.logger()})
		stop := running(t, c)
		defer stop()
		other := newChain(t, Config{StateDir: dir, Access: config.Access{Managed: true}})
		must(t, other.Allow(Entry{Key: k(1)}))
		time.Sleep(3 * lookAt)
		if !admits(c, k(1)) {
			t.Error("what the other has written is not read")
		}
		must(t, other.Allow(Entry{Key: k(2)}))
		must(t, c.Allow(Entry{Key: k(3)})) // before it has looked
		for n := 1; n <= 3; n++ {
			if !admits(c, k(n)) {
				t.Errorf("key %d is lost", n)
			}
		}
		write(t, filepath.Join(dir, managedName), `{"version":1,"allow":[{"key":"nodekey:12"}]}`)
		time.Sleep(3 * lookAt)
		if s := c.Snapshot(); !strings.Contains(s.Managed.Error, "mend it, or move it away") || !admits(c, k(3)) || log.count("cannot be read") != 1 {
			t.Errorf("%+v, told %d times", s.Managed, log.count("cannot be read"))
		}
		if err := c.Allow(Entry{Key: k(4)}); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("a change over a file that cannot be read: %v", err)
		}
	})
}

// During a takeover, the process that drains cuts off whom the other one bans.
func TestABanOfAnotherProcessIsQuick(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h, access := &house{}, config.Access{Everyone: true}
		c := newChain(t, Config{StateDir: dir, Access: access, Peers: h})
		stop := running(t, c)
		defer stop()
		h.join(relay.PeerState{Peer: k(1)})
		time.Sleep(time.Minute)
		must(t, newChain(t, Config{StateDir: dir, Access: access}).Ban(Ban{Key: k(1)}))
		time.Sleep(lookAt + 2*closest)
		if err := h.ended(k(1)); err != relay.ErrBanned {
			t.Errorf("%v", err)
		}
	})
}

func TestBadBooksAreRefused(t *testing.T) {
	good := k(1).String()
	for text, want := range map[string]string{
		"":                             "line 1, column 1: the JSON ends too early",
		"nonsense":                     "line 1, column 2: not JSON",
		"{}":                           "version 0: this program knows version 1",
		`{"version":2}`:                "version 2: this program knows version 1",
		`{"version":1,"x":1}`:          `unknown field "x"`,
		`{"version":1} {}`:             "more after the last brace",
		`{"version":1,"allow":[{}]}`:   `"allow", entry 1: the key is missing`,
		`{"version":1,"bans":[{}]}`:    `"bans", entry 1: the key is missing`,
		`{"version":1,"allow":{}}`:     "allow is of the kind object, where a list belongs",
		`{"version":1,"sets":{"":[]}}`: "the name of the imported set is empty",
		`{"version":1,"sets":{"a":[{"key":"` + good + `","label":"a b"}]}}`: `set "a", entry 1: label "a b"`,
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, managedName), text)
		_, err := New(Config{StateDir: dir, Access: config.Access{Managed: true}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), managedName) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestWhoIsKnownOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c, _ := asking(t, Config{StateDir: dir}, 1)
		stop := running(t, c)
		outcome(c, applicant(k(1)))
		time.Sleep(soon + 2*lookAt) // and then kill -9
		text, err := os.ReadFile(filepath.Join(dir, seenName))
		if err != nil || !bytes.Contains(text, []byte(k(1).String())) {
			t.Errorf("%q, %v", text, err)
		}
		outcome(c, applicant(k(2)))
		stop()
		time.Sleep(time.Hour)
		next, sources := asking(t, Config{StateDir: dir}, 1)
		sources[0].say(always(false, errors.New("away")))
		for n, want := range map[int]string{1: SourceGrace, 2: SourceGrace, 3: SourceNone} {
			if source, _ := outcome(next, applicant(k(n))); source != want {
				t.Errorf("key %d: %s, want %s", n, source, want)
			}
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	m, err := newMemory("", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m.most = 100
	began := time.Now()
	for n := range 1000 {
		m.confirm(k(n), 1, began.Add(time.Duration(n)*time.Second))
		if m.count() > 100 {
			t.Fatalf("%d are known", m.count())
		}
	}
	if _, ok := m.of(k(999)); !ok {
		t.Error("the newest is forgotten")
	}
	m.prune(began.Add(2000*time.Second), time.Second)
	if m.count() != 0 {
		t.Errorf("%d are left", m.count())
	}
}

// A file with as many as are remembered can be read again.
func TestAllWhoAreRememberedFitTheFile(t *testing.T) {
	line := len(encodeSeen(map[key.Public]confirmation{k(1): {at: time.Unix(9_999_999_999, 0), by: 1<<64 - 1}})) - len(seenVersion) - 1
	if size := mostSeen*line + len(seenVersion) + 1; size > mostSeenFile || mostSeen < 250_000 {
		t.Errorf("%d bytes for %d keys", size, mostSeen)
	}
}

// A clock that has been put back makes nobody known for longer.
func TestTimesToComeCountAsNow(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	known := map[key.Public]confirmation{k(1): {at: now.Add(1000 * time.Hour), by: 7}, k(2): {at: now.Add(-time.Hour), by: 8}}
	read, err := decodeSeen(encodeSeen(known), now)
	if err != nil || !read[k(1)].at.Equal(now) || read[k(1)].by != 7 || !read[k(2)].at.Equal(now.Add(-time.Hour)) || read[k(2)].by != 8 {
		t.Errorf("%+v, %v", read, err)
	}
}

func TestWhoIsKnownCannotBeReadOrWritten(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, seenName), seenVersion+"\nnonsense\n")
	synctest.Test(t, func(t *testing.T) {
		log := &notes{}
		c, _ := asking(t, Config{StateDir: dir, Logger: log.logger()}, 1)
		if log.count("is forgotten") != 1 || log.count("line 2 is no confirmation") != 1 {
			t.Errorf("%s", log.String())
		}
		must(t, os.Remove(filepath.Join(dir, seenName)))
		must(t, os.Mkdir(filepath.Join(dir, seenName), 0o700))
		stop := running(t, c)
		defer stop()
		outcome(c, applicant(k(1)))
		time.Sleep(10 * time.Minute)
		if n := log.count("cannot be written down"); n != 1 || c.Snapshot().Errors[SourceGrace] < 2 {
			t.Errorf("told %d times; %v", n, c.Snapshot().Errors)
		}
	})
}

// Whoever makes up keys fills no log.
func TestRefusalsAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &notes{}
		c := newChain(t, Config{Access: config.Access{Managed: true}, Logger: log.logger()})
		for range 3 {
			for n := range 1000 {
				if _, err := c.Admit(context.Background(), applicant(k(n))); err == nil {
					t.Fatal("admitted")
				}
			}
		}
		if n := log.count("a peer is refused"); n != mostRefusals {
			t.Errorf("%d lines", n)
		}
		time.Sleep(sparsely)
		c.Admit(context.Background(), applicant(k(1)))
		if n := log.count("a peer is refused"); n != mostRefusals+1 || log.count("more peers were refused") != 1 {
			t.Errorf("%d lines", n)
		}
		if s := c.Snapshot(); s.Refused[Unknown] != 3001 || s.Decisions[SourceNone].Refused != 3001 {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzBook(f *testing.F) {
	c := newBook()
	c.allow[k(1)] = Entry{Key: k(1), Label: "a", Until: time.Unix(1_800_000_000, 0).UTC()}
	c.sets["net"] = map[key.Public]Entry{k(2): {Key: k(2), Name: "laptop"}}
	c.bans[k(3)] = Ban{Key: k(3), Why: "noise", Since: time.Unix(1_700_000_000, 0).UTC()}
	seed, err := c.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":1,"sets":{"a":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeBook(data)
		if err != nil {
			return
		}
		text, err := b.encode()
		if err != nil {
			return // a time of the year 10000
		}
		again, err := decodeBook(text)
		if err != nil || again.count() != b.count() || len(again.bans) != len(b.bans) {
			t.Errorf("%v: %q", err, text)
		}
	})
}

func FuzzSeen(f *testing.F) {
	f.Add(encodeSeen(map[key.Public]confirmation{k(1): {at: time.Unix(1_700_000_000, 0), by: 7}}))
	f.Add([]byte(seenVersion))
	f.Fuzz(func(t *testing.T, data []byte) {
		now := time.Unix(1_800_000_000, 0)
		known, err := decodeSeen(data, now)
		if err != nil {
			return
		}
		for p, c := range known {
			if p.IsZero() || c.at.After(now) {
				t.Errorf("%v at %v", p, c.at)
			}
		}
		again, err := decodeSeen(encodeSeen(known), now)
		if err != nil || len(again) != len(known) {
			t.Errorf("%v, %d of %d", err, len(again), len(known))
		}
	})
}
