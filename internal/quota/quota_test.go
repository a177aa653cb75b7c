package quota

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A desk is a Quota with all that it is connected to. The clock of a bubble begins
// on 2000-01-01, 00:00 UTC.
type desk struct {
	*Quota
	path string
	end  func()

	mu    sync.Mutex
	usage Usage        // guarded by mu
	log   bytes.Buffer // guarded by mu
	over  []bool       // guarded by mu: as Each has said, one after the other if it changes
	hooks []string     // guarded by mu: events that were told
	deny  error        // guarded by mu: why the webhook cannot be reached
	code  int          // guarded by mu: what it answers
}

func (d *desk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func (d *desk) logged() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

func (d *desk) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	var m message
	if err := json.Unmarshal(body, &m); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		return nil, errors.New("that is no message")
	}
	if d.deny != nil {
		return nil, d.deny
	}
	d.hooks = append(d.hooks, m.Event)
	return &http.Response{StatusCode: d.code, Status: http.StatusText(d.code), Header: http.Header{"Location": {"https://elsewhere.example/s3cret"}},
		Body: io.NopCloser(strings.NewReader(strings.Repeat("endless", 100_000)))}, nil
}

func (d *desk) told() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hooks
}

func (d *desk) use(n uint64) {
	d.mu.Lock()
	d.usage.In += n
	d.mu.Unlock()
	time.Sleep(look + look/2)
	synctest.Wait()
}

const hookURL = "https://hooks.example/services/s3cret"

func settings(soft, hard int64) Settings {
	return Settings{Soft: soft, Hard: hard, In: true, Out: true, Day: 1, Webhook: func() (string, error) { return hookURL, nil }}
}

// fromSecond has months begin on the second, a day after the bubble.
func fromSecond(s Settings) Settings {
	s.Day = 2
	return s
}

func sit(t *testing.T, path string, s Settings) *desk {
	t.Helper()
	d := &desk{path: path, code: http.StatusOK}
	d.Quota = New(Config{
		Settings: s, Path: path, Relay: "relay.example", Logger: slog.New(slog.NewTextHandler(d, nil)),
		Usage: func() Usage {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.usage
		},
		Each: func(over bool) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if len(d.over) == 0 || d.over[len(d.over)-1] != over {
				d.over = append(d.over, over)
			}
		},
	})
	d.hook.client.Transport = d
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	d.end = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(d.end)
	return d
}

func inBubble(t *testing.T, f func(t *testing.T, path string)) {
	path := filepath.Join(t.TempDir(), "state", "quota.json")
	synctest.Test(t, func(t *testing.T) { f(t, path) })
}

func (d *desk) want(t *testing.T, state State, used int64) {
	t.Helper()
	if s := d.Snapshot(); s.State != state || s.Used != used || d.Over() != (state == PastHard) {
		t.Errorf("%+v, want %s with %d bytes", s, state, used)
	}
}

func TestMarks(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		d := sit(t, path, fromSecond(settings(100, 200)))
		d.use(99)
		d.want(t, Below, 99)
		d.use(1)
		d.want(t, PastSoft, 100)
		d.use(99)
		d.want(t, PastSoft, 199)
		d.use(10)
		d.want(t, PastHard, 209)
		d.Update(fromSecond(settings(100, 300))) // raised
		d.use(0)
		d.want(t, PastSoft, 209)
		d.use(100)
		d.want(t, PastHard, 309)
		time.Sleep(24 * time.Hour)
		d.want(t, Below, 0)
		d.use(150)
		d.want(t, PastSoft, 150)
		if got, want := strings.Join(d.told(), " "), "soft hard resumed hard resumed soft"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		log := d.logged()
		if n := strings.Count(log, "soft mark"); n != 2 || strings.Count(log, "hard mark") != 2 || strings.Contains(log, "s3cret") {
			t.Errorf("the log says %s", log)
		}
	})
}

func TestWhatCounts(t *testing.T) {
	for name, c := range map[string]struct {
		in, out bool
		want    int64
	}{"in": {true, false, 3}, "out": {false, true, 4}, "both": {true, true, 7}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, path string) {
				s := settings(100, 0)
				s.In, s.Out = c.in, c.out
				d := sit(t, path, s)
				d.mu.Lock()
				d.usage = Usage{In: 3, Out: 4}
				d.mu.Unlock()
				d.use(0)
				if got := d.Snapshot(); got.Used != c.want || got.In != 3 || got.Out != 4 {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// The count outlives the process, also one that is killed: then a minute is lost at
// most.
func TestCountOutlivesTheProcess(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		d := sit(t, path, settings(100, 200))
		d.use(120)
		d.end()
		d = sit(t, path, settings(100, 200))
		d.use(90)
		d.want(t, PastHard, 210)
		if got := strings.Join(d.told(), " "); got != "hard" {
			t.Errorf("told %s", got)
		}
		time.Sleep(saveEvery + look)
		killed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		d.end()
		if err := os.WriteFile(path, killed, 0o600); err != nil {
			t.Fatal(err)
		}
		d = sit(t, path, settings(100, 200))
		d.want(t, PastHard, 210) // from the first moment
	})
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	for name, prepare := range map[string]func(path string) error{
		"garbled":     func(path string) error { return os.WriteFile(path, []byte(`{"version":1,"in":`), 0o600) },
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"large":       func(path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"too new":     func(path string) error { return os.WriteFile(path, []byte(`{"version":2}`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, path string) {
				os.MkdirAll(filepath.Dir(path), 0o700)
				if err := prepare(path); err != nil {
					t.Fatal(err)
				}
				d := sit(t, path, settings(100, 200))
				d.use(50)
				time.Sleep(saveEvery + look)
				d.want(t, Below, 50)
				if s := d.Snapshot(); s.Unread == "" || s.Error != "" || !strings.Contains(s.Unread, path) {
					t.Errorf("%+v", s)
				}
				if n := strings.Count(d.logged(), "cannot be used"); n != 1 {
					t.Errorf("said %d times: %s", n, d.logged())
				}
				if _, err := os.Stat(path + ".unreadable"); err != nil {
					t.Error(err)
				}
				d.end()
				if d = sit(t, path, settings(100, 200)); d.Snapshot().Used != 50 || d.Snapshot().Unread != "" {
					t.Errorf("%+v", d.Snapshot())
				}
			})
		})
	}
}

// A disk that takes nothing is said once, when it begins and when it ends.
func TestDiskThatTakesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		dir := filepath.Dir(path)
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the directory is to be: not even root can write there
			t.Fatal(err)
		}
		d := sit(t, path, settings(100, 200))
		d.use(150)
		time.Sleep(5 * time.Minute)
		d.want(t, PastSoft, 150)
		if s := d.Snapshot(); s.Error == "" || strings.Count(d.logged(), "goes on in memory") != 1 {
			t.Errorf("%+v: %s", s, d.logged())
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := d.Snapshot(); s.Error != "" || strings.Count(d.logged(), "is kept again") != 1 || s.Used != 150 {
			t.Errorf("%+v: %s", s, d.logged())
		}
	})
}

// Without marks nothing is counted, written or told, until there are some.
func TestQuotaCanBeOff(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		d := sit(t, path, settings(0, 0))
		d.use(1000)
		time.Sleep(time.Minute)
		if _, err := os.Stat(filepath.Dir(path)); err == nil || d.Snapshot() != (Snapshot{State: Off}) {
			t.Errorf("%+v", d.Snapshot())
		}
		d.Update(settings(100, 200))
		d.use(110)
		d.want(t, PastSoft, 110)
		d.use(100)
		d.want(t, PastHard, 210)
		d.Update(settings(0, 0))
		d.use(100)
		if d.Over() {
			t.Error("it is over without a mark")
		}
		d.Update(settings(100, 500))
		d.use(1)
		d.want(t, PastSoft, 211)
	})
}

// A machine that begins at the epoch, until it is told the time, still reads what it
// has written.
func TestCountOfAClockThatBeginsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "quota.json")
	for _, now := range []string{"1970-01-01T00:00:10Z", "1999-12-31T00:00:00Z", "2026-11-28T00:00:00Z"} {
		mine := newCount(at(now), 15)
		if _, garbled, err := (store{path}).add(mine, Usage{In: 5}); garbled != nil || err != nil {
			t.Fatal(garbled, err)
		}
		if disk, err := (store{path}).read(); err != nil || disk == nil || disk.In == 0 {
			t.Errorf("%s: %+v, %v", now, disk, err)
		}
	}
}

// Whoever takes the marks away for a moment does not get back what was used last.
func TestTurningOffForgetsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		d := sit(t, path, settings(100, 200))
		d.use(90)
		d.Update(settings(0, 0))
		time.Sleep(time.Minute)
		d.Update(settings(100, 200))
		d.want(t, Below, 90)
	})
}

func TestWebhookIsToldInTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		d := sit(t, path, settings(100, 200))
		d.deny = errors.New("no route to host")
		d.use(250)
		time.Sleep(5 * time.Minute)
		if s := d.Snapshot().Webhook; s.Sent != 0 || s.Failed < 3 || s.Failed > 20 || !strings.Contains(s.Error, "hooks.example: no route to host") {
			t.Errorf("%+v", s)
		}
		d.mu.Lock()
		d.deny = nil
		d.mu.Unlock()
		time.Sleep(20 * time.Minute)
		if s := d.Snapshot().Webhook; s.Sent != 2 || s.Waiting != 0 || s.Error != "" || strings.Join(d.told(), " ") != "soft hard" {
			t.Errorf("%+v, told %v", s, d.told())
		}
		if text := d.logged(); strings.Contains(text, "s3cret") || strings.Contains(text, "services") {
			t.Errorf("the log has the URL: %s", text)
		}
	})
}

// What is not told before the end is not lost without a word: the next process tells
// it, or the log says that nobody does.
func TestTheEndIsNoWayPastTheWebhook(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		d := sit(t, path, settings(100, 200))
		d.deny = errors.New("no route to host")
		d.use(150)
		d.mu.Lock()
		d.usage.In += 100 // beyond the hard mark in the last second
		d.mu.Unlock()
		d.end()
		if n := strings.Count(d.logged(), "the relay ends, and the webhook has not been told\" event=soft"); n != 1 {
			t.Errorf("%s", d.logged())
		}
		d = sit(t, path, settings(100, 200))
		d.use(0)
		if got := strings.Join(d.told(), " "); got != "hard" {
			t.Errorf("the next process tells %q", got)
		}
	})
}

// Whoever refuses is not asked for ever, and nobody is led elsewhere.
func TestWebhookGivesUp(t *testing.T) {
	for _, code := range []int{http.StatusForbidden, http.StatusInternalServerError, http.StatusTemporaryRedirect} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			inBubble(t, func(t *testing.T, path string) {
				d := sit(t, path, settings(100, 0))
				d.code = code
				d.use(150)
				time.Sleep(7 * time.Hour)
				if s := d.Snapshot().Webhook; s.GaveUp != 1 || s.Failed != hookAttempts || s.Waiting != 0 || strings.Contains(s.Error, "s3cret") {
					t.Errorf("%+v", s)
				}
				if n := strings.Count(d.logged(), "webhook"); n != 2 {
					t.Errorf("%d lines: %s", n, d.logged())
				}
			})
		})
	}
}

func TestFilesAreTheRelaysAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		d := sit(t, path, settings(100, 0))
		d.use(1)
		d.end()
		for _, file := range []string{path, path + ".lock"} {
			info, err := os.Stat(file)
			if runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
				t.Errorf("%s: %v, %v", file, info, err)
			}
		}
	})
}
