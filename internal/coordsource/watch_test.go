package coordsource

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

func numbered(n byte) key.Public { return key.Public{n} }

// A stream is what one coordinator has to say to one who watches.
type stream struct {
	replica string
	since   string
	token   string
	say     func(coordapi.RelayEvent)
	write   func(string)
	ended   <-chan struct{} // the other side has left
}

// played are coordinators in memory, each of which does as the test says.
type played struct {
	t       *testing.T
	serve   func(stream) int // returns a status, if it has said nothing; 0: the stream ends
	serving sync.WaitGroup
	servers []*http.Server
	doors   map[string]*door

	mu     sync.Mutex
	opened []string // replica and cursor of each watch; guarded by mu
}

// door is a listener in memory.
type door struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error { d.once.Do(func() { close(d.done) }); return nil }
func (d *door) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
}

func play(t *testing.T, ports []string, serve func(stream) int) (*played, *Source) {
	p := &played{t: t, serve: serve, doors: make(map[string]*door)}
	var urls []string
	for _, port := range ports {
		d := &door{conns: make(chan net.Conn), done: make(chan struct{})}
		p.doors[port] = d
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.handle(port, w, r) })}
		p.servers = append(p.servers, server)
		p.serving.Go(func() { server.Serve(d) })
		urls = append(urls, "http://127.0.0.1:"+port)
	}
	s, err := New(Config{Coordinators: urls, Token: "secret", DialContext: p.dial})
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

func (p *played) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(addr)
	ours, theirs := net.Pipe()
	select {
	case p.doors[port].conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *played) handle(port string, w http.ResponseWriter, r *http.Request) {
	since := r.URL.Query().Get("since")
	p.mu.Lock()
	p.opened = append(p.opened, port+" "+since)
	p.mu.Unlock()
	write := func(text string) {
		fmt.Fprintln(w, text)
		w.(http.Flusher).Flush()
	}
	say := func(e coordapi.RelayEvent) {
		text, _ := json.Marshal(e)
		write(string(text))
	}
	if status := p.serve(stream{port, since, r.Header.Get("Authorization"), say, write, r.Context().Done()}); status != 0 {
		w.WriteHeader(status)
	}
}

func (p *played) stop() {
	for _, s := range p.servers {
		s.Close()
	}
	p.serving.Wait()
}

func (p *played) watches() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.opened)
}

// told is what a Watch tells, in order.
type told struct {
	mu  sync.Mutex
	all []string
}

func (l *told) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, what)
}

func (l *told) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Join(l.all, "; ")
	l.all = nil
	return all
}

func (l *told) events() Events {
	return Events{
		Gone:   func(k key.Public) { l.note(fmt.Sprint("gone ", k[0])) },
		Missed: func() { l.note("missed") },
		Heard: func(err error) {
			if err != nil {
				l.note(err.Error())
				return
			}
			l.note("heard")
		},
	}
}

// watching runs a Watch until the result is called, which returns its cursor.
func watching(t *testing.T, p *played, s *Source, l *told) (stop func() string) {
	ctx, cancel := context.WithCancel(t.Context())
	cursor := make(chan string, 1)
	go func() { cursor <- s.Watch(ctx, "", l.events()) }()
	return func() string {
		cancel()
		at := <-cursor
		p.stop()
		s.Close()
		synctest.Wait()
		return at
	}
}

func snapshot(s stream, cursor string) {
	s.say(coordapi.RelayEvent{Type: coordapi.EventSnapshot})
	s.say(coordapi.RelayEvent{Type: coordapi.EventAt, Cursor: cursor})
}

func TestRevocationsAreToldAndResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := make(chan struct{})
		p, s := play(t, []string{"1"}, func(s stream) int {
			if s.token != "Bearer secret" {
				return http.StatusForbidden
			}
			if s.since == "" {
				snapshot(s, "one")
				<-next
				s.say(coordapi.RelayEvent{Type: coordapi.EventGone, Key: numbered(7)})
				s.say(coordapi.RelayEvent{Type: coordapi.EventAt, Cursor: "two"})
				return 0
			}
			s.say(coordapi.RelayEvent{Type: coordapi.EventResumed})
			s.say(coordapi.RelayEvent{Type: coordapi.EventGone, Key: numbered(8)})
			s.say(coordapi.RelayEvent{Type: coordapi.EventAt, Cursor: "three"})
			s.say(coordapi.RelayEvent{Type: "of a later version"})
			<-s.ended
			return 0
		})
		var l told
		stop := watching(t, p, s, &l)
		synctest.Wait()
		if got := l.take(); got != "missed; heard" {
			t.Errorf("at first: %s", got)
		}
		close(next)
		synctest.Wait()
		if got := l.take(); got != "gone 7; it has ended the stream" {
			t.Errorf("then: %s", got)
		}
		if !s.Gone(numbered(7)) || s.Gone(numbered(8)) {
			t.Error("who has gone?")
		}
		time.Sleep(goneTime)
		if s.Gone(numbered(7)) {
			t.Error("gone for ever")
		}
		synctest.Wait()
		if got := l.take(); got != "gone 8; heard" {
			t.Errorf("resumed: %s", got)
		}
		if got := p.watches(); !slices.Equal(got, []string{"1 ", "1 two"}) {
			t.Errorf("watched %q", got)
		}
		if cursor := stop(); cursor != "three" {
			t.Errorf("it has heard up to %q", cursor)
		}
	})
}

// A coordinator that cannot be used, falls silent or sends us away is left for the
// next, at once and without a loss.
func TestTheNextReplicaTakesOver(t *testing.T) {
	for name, test := range map[string]struct {
		first func(stream) int
		after time.Duration
		told  string
	}{
		"away": {func(stream) int { return http.StatusServiceUnavailable }, 0,
			"127.0.0.1:1: status 503, where only 200 is an answer; missed; heard"},
		"no token of ours": {func(stream) int { return http.StatusForbidden }, 0,
			"127.0.0.1:1: it wants a token of this relay, and the one that was given counts no more or is another's (status 403): make another there; missed; heard"},
		"moves": {func(s stream) int {
			snapshot(s, "one")
			s.say(coordapi.RelayEvent{Type: coordapi.EventMove})
			return 0
		}, 0, "missed; heard; heard"},
		"ends": {func(s stream) int { snapshot(s, "one"); return 0 }, 0,
			"missed; heard; 127.0.0.1:1: it has ended the stream; heard"},
		"is silent": {func(s stream) int { snapshot(s, "one"); <-s.ended; return 0 }, coordapi.SilenceTime,
			"missed; heard; 127.0.0.1:1: it has said nothing for 1m0s; heard"},
		"never answers": {func(s stream) int { <-s.ended; return 0 }, coordapi.BeatTime,
			"127.0.0.1:1: net/http: timeout awaiting response headers; missed; heard"},
		"is no coordinator": {func(s stream) int { s.write("<html>"); return 0 }, 0,
			"127.0.0.1:1: it sends what is no event: is it a coordination server?; missed; heard"},
		"says no type": {func(s stream) int { s.write("{}"); return 0 }, 0,
			"127.0.0.1:1: it sends what is no event: is it a coordination server?; missed; heard"},
		"does not say who": {func(s stream) int { s.write(`{"type":"gone"}`); return 0 }, 0,
			"127.0.0.1:1: it says that somebody has gone, and not who; missed; heard"},
		"sends without end": {func(s stream) int { s.write(strings.Repeat("x", 5000)); return 0 }, 0,
			"127.0.0.1:1: it sends a line of more than 4 KiB: is it a coordination server?; missed; heard"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := play(t, []string{"1", "2"}, func(s stream) int {
					if s.replica == "1" {
						return test.first(s)
					}
					if s.since == "" {
						snapshot(s, "one")
					} else {
						s.say(coordapi.RelayEvent{Type: coordapi.EventResumed})
						s.say(coordapi.RelayEvent{Type: coordapi.EventAt, Cursor: s.since})
					}
					<-s.ended
					return 0
				})
				var l told
				stop := watching(t, p, s, &l)
				time.Sleep(test.after)
				synctest.Wait()
				if got := l.take(); got != test.told {
					t.Errorf("told %s\nwant %s", got, test.told)
				}
				stop()
			})
		})
	}
}

// A coordinator that does not hear its store is left for one that does; if none does,
// one is listened to all the same, and the others are tried every minute.
func TestCoordinatorsThatDoNotHearTheirStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaf atomic.Int64 // bits of the replicas that do not hear it
		p, s := play(t, []string{"1", "2"}, func(s stream) int {
			stale := func() bool { return deaf.Load()&int64(s.replica[0]-'0') != 0 }
			begin := coordapi.EventSnapshot
			if s.since != "" {
				begin = coordapi.EventResumed
			}
			s.say(coordapi.RelayEvent{Type: begin, Stale: stale()})
			s.say(coordapi.RelayEvent{Type: coordapi.EventAt, Cursor: "one"})
			beat := time.NewTicker(coordapi.BeatTime)
			defer beat.Stop()
			for {
				select {
				case <-beat.C:
					s.say(coordapi.RelayEvent{Type: coordapi.EventBeat, Stale: stale()})
				case <-s.ended:
					return 0
				}
			}
		})
		var l told
		stop := watching(t, p, s, &l)
		step := func(d int64, after time.Duration, want string) {
			t.Helper()
			deaf.Store(d)
			time.Sleep(after)
			synctest.Wait()
			if got := l.take(); got != want {
				t.Errorf("told %s\nwant %s", got, want)
			}
		}
		const one, two = "127.0.0.1:1: it does not hear its store, and may not know who was removed", "127.0.0.1:2: it does not hear its store, and may not know who was removed"
		step(0, time.Minute, "missed; heard")
		step(1, coordapi.BeatTime, one+"; heard")
		if s.first.Load() != 1 {
			t.Error("the one that is listened to is not the one that is asked")
		}
		step(0, time.Minute, "")
		step(3, coordapi.BeatTime, two+"; "+one)
		step(3, coordapi.BeatTime, one)
		step(0, coordapi.BeatTime, "heard")
		step(3, coordapi.BeatTime, one+"; "+two)
		step(2, 2*coordapi.BeatTime, two+"; "+two)
		step(2, coordapi.BeatTime, two+"; heard")
		stop()
	})
}

// A coordinator that beats is heard for days.
func TestBeatsKeepTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := play(t, []string{"1"}, func(s stream) int {
			snapshot(s, "one")
			beat := time.NewTicker(coordapi.BeatTime)
			defer beat.Stop()
			for n := 0; ; n++ {
				select {
				case <-beat.C:
					s.say(coordapi.RelayEvent{Type: coordapi.EventBeat, Cursor: fmt.Sprint(n)})
				case <-s.ended:
					return 0
				}
			}
		})
		var l told
		stop := watching(t, p, s, &l)
		time.Sleep(24*time.Hour + time.Second)
		if got := l.take(); got != "missed; heard" {
			t.Error(got)
		}
		if cursor, want := stop(), fmt.Sprint(24*3600/25-1); cursor != want {
			t.Errorf("it has heard up to %s, want %s", cursor, want)
		}
	})
}

// However a server fails, it is not asked often; also if each stream begins well.
func TestAServerThatFailsIsNotAskedOften(t *testing.T) {
	for name, serve := range map[string]func(stream) int{
		"refuses":       func(stream) int { return http.StatusBadGateway },
		"ends at once":  func(s stream) int { snapshot(s, "one"); return 0 },
		"moves us back": func(s stream) int { snapshot(s, "one"); s.say(coordapi.RelayEvent{Type: coordapi.EventMove}); return 0 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := play(t, []string{"1", "2", "3"}, serve)
				var l told
				stop := watching(t, p, s, &l)
				time.Sleep(time.Hour)
				if n := len(p.watches()); n < 100 || n > 200 {
					t.Errorf("%d watches in an hour, want about one in %v", n, lastPause)
				}
				stop()
			})
		})
	}
}

func FuzzTake(f *testing.F) {
	f.Add([]byte(`{"type":"gone","key":"nodekey:0100000000000000000000000000000000000000000000000000000000000000","cursor":"x"}`))
	f.Add([]byte(`{"type":"snapshot","stale":true}`))
	f.Add([]byte(`{"type":"at","cursor":1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := New(Config{Coordinators: []string{"https://a.example"}})
		if err != nil {
			t.Fatal(err)
		}
		var gone []key.Public
		w := &watch{source: s, to: Events{
			Gone: func(k key.Public) { gone = append(gone, k) }, Missed: func() {}, Heard: func(error) {},
		}}
		w.take(line)
		for _, k := range gone {
			if k == (key.Public{}) || !s.Gone(k) {
				t.Errorf("%v has gone, and is not noted", k)
			}
		}
	})
}
