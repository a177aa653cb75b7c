package history

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/logtest"
	"github.com/detour-relay/detour/relay"
)

// A process is one that keeps its history, in a bubble of synctest.
type process struct {
	*History
	log logtest.Log

	use  sync.Mutex
	now  Reading // guarded by use
	stop context.CancelFunc
	done chan struct{}
}

func start(t *testing.T, path string) *process {
	t.Helper()
	p := &process{done: make(chan struct{})}
	p.now.Relay = relay.Counters{
		Dropped:    map[string]relay.ByKind{"queue_head": {}, "unknown_dest": {}},
		Ended:      map[string]uint64{},
		OutboxTime: relay.Histogram{Bounds: []float64{0.001, 0.01, 0.1}, Counts: make([]uint64, 4)},
	}
	p.now.Healthy = true
	p.History = New(Config{Path: path, Look: p.reading, Logger: slog.New(slog.NewTextHandler(&p.log, nil))})
	ctx, cancel := context.WithCancel(t.Context())
	p.stop = cancel
	go func() { defer close(p.done); p.Run(ctx) }()
	return p
}

// reading is a copy, as a relay makes them.
func (p *process) reading() Reading {
	p.use.Lock()
	defer p.use.Unlock()
	r := p.now
	r.Relay.Dropped = map[string]relay.ByKind{}
	for reason, of := range p.now.Relay.Dropped {
		r.Relay.Dropped[reason] = of
	}
	r.Relay.OutboxTime.Counts = append([]uint64(nil), p.now.Relay.OutboxTime.Counts...)
	return r
}

// change has the relay do something.
func (p *process) change(f func(*Reading)) {
	p.use.Lock()
	defer p.use.Unlock()
	f(&p.now)
}

// minute passes, with all that is done in it.
func (p *process) minute() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

func (p *process) relay(packets uint64) {
	p.use.Lock()
	defer p.use.Unlock()
	more := relay.Traffic{Packets: packets, Bytes: 100 * packets}
	p.now.Relay.Received.Other.Packets += more.Packets
	p.now.Relay.Received.Other.Bytes += more.Bytes
	p.now.Relay.Sent.Disco.Packets += more.Packets
	p.now.Relay.Sent.Disco.Bytes += more.Bytes
}

func (p *process) end() { p.stop(); <-p.done }

// kill ends it as kill -9 does: nothing is written any more.
func (p *process) kill() {
	p.io.Lock()
	p.file = nil
	p.io.Unlock()
	p.end()
}

func (p *process) ask(t *testing.T, q Query) *Answer {
	t.Helper()
	a, err := p.Ask(q)
	if err != nil || a == nil {
		t.Fatal(a, err)
	}
	return a
}

// packets are those received in each step of the last while, "-" where nothing is known.
func (p *process) packets(t *testing.T, last, step time.Duration) string {
	t.Helper()
	a := p.ask(t, Query{From: time.Now().Add(-last), Step: step})
	all := []string{}
	for i, v := range a.ReceivedPackets {
		if (a.Seconds[i] == 0) != math.IsNaN(v) {
			t.Errorf("%v in %v s", v, a.Seconds[i])
		}
		text := fmt.Sprint(v)
		if math.IsNaN(v) {
			text = "-"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func inBubble(t *testing.T, f func(t *testing.T, path string)) {
	path := filepath.Join(t.TempDir(), "state", "history.db")
	synctest.Test(t, func(t *testing.T) { f(t, path) })
}

func TestMinutes(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		p := start(t, path)
		for i := range uint64(4) {
			p.relay(i + 1)
			p.minute()
		}
		synctest.Wait()
		if got := p.packets(t, 6*time.Minute, time.Minute); got != "- - 1 2 3 4" {
			t.Error(got)
		}
		p.relay(10)
		time.Sleep(30*time.Second + time.Millisecond)
		if got := p.packets(t, 6*time.Minute, time.Minute); got != "- - 1 2 3 4 10" {
			t.Errorf("in the middle of a minute: %s", got)
		}
		if got := p.packets(t, 4*time.Minute, 2*time.Minute); got != "3 7 10" {
			t.Errorf("by twos: %s", got)
		}
		if s := p.State(); s.File != path || s.Error != "" || s.Errors != 0 || !s.Since.Equal(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v", s)
		}
		p.end()
		if p.log.String() != "" {
			t.Error(p.log.String())
		}
	})
}

func TestFigures(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		p := start(t, "")
		p.relay(7)
		p.change(func(r *Reading) {
			n := &r.Relay
			n.Peers, n.RemotePeers, n.Homes, n.Conns = 10, 20, 5, 12
			r.Memory = 1 << 30
		})
		time.Sleep(30 * time.Second)
		synctest.Wait()
		p.change(func(r *Reading) {
			n := &r.Relay
			n.Peers, n.Conns, r.Ended = 20, 11, 9
			n.Dropped["queue_head"] = relay.ByKind{Disco: relay.Traffic{Packets: 1, Bytes: 10}, Other: relay.Traffic{Packets: 2, Bytes: 20}}
			n.Ended = map[string]uint64{"not_admitted": 1, "bad_login": 2, "eof": 100}
			n.OutboxTime = relay.Histogram{Bounds: n.OutboxTime.Bounds, Counts: []uint64{90, 0, 10, 0}, Sum: 0.5}
			r.Accepted, r.Rejected, r.Checks, r.ChecksFailed, r.Healthy = 30, 4, 2, 1, false
			r.CPU = 1500 * time.Millisecond
		})
		time.Sleep(30*time.Second + time.Millisecond)
		synctest.Wait()
		a := p.ask(t, Query{From: time.Now().Add(-time.Minute), Step: 2 * time.Minute})
		text, _ := json.Marshal(a)
		want := `{"from":"2000-01-01T00:00:00Z","to":"2000-01-01T00:02:00Z","step_s":120,"seconds":[60],` +
			`"received_bytes":[700],"received_packets":[7],"sent_bytes":[700],"sent_packets":[7],` +
			`"dropped_packets":[3],"dropped_bytes":[30],"dropped":{"queue_head":[3]},` +
			`"peers":[15],"remote_peers":[20],"homes":[5],"conns":[11.5],"accepted":[30],"rejected":[4],"logins":[20],"refused":[3],` +
			`"queue_mean":[0.005],"queue_p50":[0.000555556],"queue_p99":[0.091],"cpu":[1.5],"memory":[1073741824],` +
			`"checks":[2],"checks_failed":[1],"unhealthy":[30]}`
		if string(text) != want {
			t.Errorf("%s\nwant\n%s", text, want)
		}
		var again Answer
		if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(&again, a) {
			t.Errorf("%+v, %v", again, err)
		}
		p.end()
	})
}

func TestQuantiles(t *testing.T) {
	bounds := []float64{1, 2, 5, math.Inf(1)}
	for _, c := range []struct {
		q      float64
		counts []uint64
		want   float64
	}{
		{0.5, []uint64{2, 0, 0, 0}, 0.5}, {0.5, []uint64{1, 1, 0, 0}, 1}, {0.99, []uint64{0, 0, 100, 0}, 4.97},
		{0.5, []uint64{0, 0, 0, 3}, 5}, {1, []uint64{4, 4, 0, 0}, 2}, {0.5, []uint64{0, 1, 0, 1}, 2}, {0.5, []uint64{0, 0, 0, 0}, math.NaN()},
	} {
		n := uint64(0)
		for _, count := range c.counts {
			n += count
		}
		if got := quantile(c.q, bounds, c.counts, n); math.Abs(got-c.want) > 1e-9 || math.IsNaN(got) != math.IsNaN(c.want) {
			t.Errorf("%v of %v: %v, want %v", c.q, c.counts, got, c.want)
		}
	}
}

// What was written is there after an end, after a kill and after a gap, and minutes that two
// processes share are both's.
func TestProcessesOneAfterTheOther(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		p := start(t, path)
		p.relay(1)
		time.Sleep(80 * time.Second)
		p.relay(2)
		p.end() // in the middle of the second minute
		p = start(t, path)
		p.relay(10)
		time.Sleep(60 * time.Second)
		p.relay(100)
		p.kill()
		time.Sleep(2 * time.Minute)
		p = start(t, path)
		p.relay(1000)
		p.minute()
		synctest.Wait()
		if got := p.packets(t, 6*time.Minute, time.Minute); got != "- 1 12 - - 1000 0" && got != "- 1 12 - 1000 0" {
			t.Error(got)
		}
		a := p.ask(t, Query{From: time.Now().Add(-5 * time.Minute), Step: time.Minute})
		if fmt.Sprint(a.Seconds) != "[60 60 0 0 40 20]" {
			t.Errorf("%v", a.Seconds)
		}
		p.end()
	})
}

// During a takeover both relay, and each writes what it has relayed itself.
func TestProcessesSideBySide(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		old := start(t, path)
		old.change(func(r *Reading) { r.Relay.Peers = 100 })
		old.relay(1)
		time.Sleep(90 * time.Second)
		next := start(t, path)
		for range 3 {
			old.relay(10)
			next.relay(100)
			next.minute()
			old.change(func(r *Reading) { r.Relay.Peers -= 30 })
			next.change(func(r *Reading) { r.Relay.Peers += 30 })
		}
		old.end()
		next.relay(1000)
		next.minute()
		next.end()
		last := start(t, path)
		last.relay(0)
		if got := last.packets(t, 5*time.Minute, time.Minute); got != "1 110 110 110 1000 0" {
			t.Error(got)
		}
		a := last.ask(t, Query{From: time.Now().Add(-5 * time.Minute), Step: time.Minute})
		if a.Peers[2] < 95 || a.Peers[2] > 115 || a.Seconds[2] != 60 {
			t.Errorf("%v peers in %v s", a.Peers, a.Seconds)
		}
		last.end()
	})
}

// The clock on the wall may be set while the relay runs.
func TestClockIsSet(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		p := start(t, path)
		p.stop() // what follows counts by hand
		<-p.done
		begun := time.Now()
		at := func(wall time.Duration, packets uint64) {
			t.Helper()
			p.relay(packets)
			now := begun.Add(wall).Round(0)
			p.mu.Lock()
			p.meter.at = now.Add(-30 * time.Second)
			p.mu.Unlock()
			p.count(now)
			p.io.Lock()
			p.save(true)
			p.io.Unlock()
		}
		for i := range 10 {
			at(time.Duration(i)*time.Minute+40*time.Second, 1)
		}
		at(-time.Hour, 2)
		for i := range 3 { // back, and the same minutes again
			at(time.Duration(i)*time.Minute+40*time.Second, 5)
		}
		at(1000*24*time.Hour, 3)
		at(11*time.Minute+10*time.Second, 7)
		time.Sleep(12 * time.Minute)
		if got := p.packets(t, 12*time.Minute, time.Minute); got != "5 5 5 1 1 1 1 1 1 1 - 7" && got != "5 5 5 1 1 1 1 1 1 1 7 -" {
			t.Error(got)
		}
		if s := p.State(); s.Error != "" || s.Unread != "" {
			t.Errorf("%+v", s)
		}
	})
}

// A relay that stood still for long claims to know no more than a minute of it.
func TestLateLook(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		p := start(t, "")
		p.stop()
		<-p.done
		p.change(func(r *Reading) { r.Relay.Peers = 10 })
		time.Sleep(5 * time.Minute)
		p.relay(3)
		p.count(time.Now())
		a := p.ask(t, Query{From: time.Now().Add(-5 * time.Minute), Step: time.Minute})
		if fmt.Sprint(a.Seconds) != "[0 0 60 0 0]" || a.Peers[2] != 10 || a.ReceivedPackets[2] != 3 {
			t.Errorf("%v, %v", a.Seconds, a.Peers)
		}
	})
}

// A file that cannot be written disturbs nobody: it is said once, nothing is lost for a day,
// and it goes on by itself.
func TestFileThatCannotBeWritten(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		if err := os.WriteFile(filepath.Dir(path), nil, 0o600); err != nil { // where the directory is to be
			t.Fatal(err)
		}
		p := start(t, path)
		for range 5 {
			p.relay(1)
			p.minute()
		}
		synctest.Wait()
		s := p.State()
		if !strings.Contains(s.Error, "no") || s.Errors != 5 || strings.Count(p.log.String(), "level=WARN") != 1 {
			t.Errorf("%+v, %s", s, p.log.String())
		}
		if got := p.packets(t, 5*time.Minute, time.Minute); got != "1 1 1 1 1" {
			t.Errorf("what waits: %s", got)
		}
		if err := os.Remove(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
		p.relay(1)
		p.minute()
		synctest.Wait()
		if s := p.State(); s.Error != "" || !strings.Contains(p.log.String(), "on disk again") {
			t.Errorf("%+v, %s", s, p.log.String())
		}
		p.kill()
		p = start(t, path)
		if got := p.packets(t, 6*time.Minute, time.Minute); got != "1 1 1 1 1 1" {
			t.Errorf("on disk: %s", got)
		}
		p.end()
	})
}

// What waits for the disk is bounded.
func TestWaitingIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		if err := os.WriteFile(filepath.Dir(path), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		p := start(t, path)
		time.Sleep(26 * time.Hour)
		synctest.Wait()
		p.end()
		inMemory := start(t, "")
		inMemory.end()
		for now := time.Now(); time.Since(now) > -8*24*time.Hour; now = now.Add(time.Minute) {
			inMemory.count(now)
		}
		for p, want := range map[*process]int{p: mostWaiting, inMemory: Minutes} {
			if got := len(p.waiting); got < want || got > want+1 {
				t.Errorf("%d minutes, want %d", got, want)
			}
		}
	})
}

// Whoever removes the file gets another one.
func TestFileIsRemoved(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		p := start(t, path)
		time.Sleep(2*time.Minute + 15*time.Second)
		synctest.Wait()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		p.relay(1)
		if got := p.packets(t, 2*time.Minute, time.Minute); got != "- - 0" {
			t.Errorf("without it: %s", got)
		}
		p.minute()
		synctest.Wait()
		if got := p.packets(t, 3*time.Minute, time.Minute); got != "- - 1 0" {
			t.Error(got)
		}
		p.end()
	})
}

func TestFileIsGarbled(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(magic+"and no more"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := start(t, path)
		if got := p.packets(t, time.Minute, time.Minute); got != "-" {
			t.Error(got)
		}
		p.relay(1)
		p.minute()
		if s := p.State(); s.Error != "" || !strings.Contains(s.Unread, "it is kept as "+path+".unreadable") || s.Errors != 1 || p.log.Lines("level=WARN") != 1 {
			t.Errorf("%+v: %s", s, p.log.String())
		}
		p.end()
		if text, err := os.ReadFile(path + ".unreadable"); err != nil || string(text) != magic+"and no more" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

// A relay that ends before a minute is over leaves nothing behind.
func TestShortRunMakesNoFile(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		p := start(t, path)
		time.Sleep(20 * time.Second)
		p.end()
		if _, err := os.Stat(filepath.Dir(path)); err == nil {
			t.Error("there is something")
		}
	})
}

func TestUpdate(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		other := filepath.Join(t.TempDir(), "other.db")
		p := start(t, path)
		p.relay(1)
		time.Sleep(90 * time.Second)
		p.relay(2)
		p.Update(other, false)
		p.relay(4)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if got := p.packets(t, 3*time.Minute, time.Minute); got != "- 4 0" {
			t.Error(got)
		}
		p.Update(other, true)
		if a, err := p.Ask(Query{}); a != nil || err != nil || p.State() != nil {
			t.Errorf("off: %+v, %v, %+v", a, err, p.State())
		}
		p.relay(8)
		time.Sleep(5 * time.Minute)
		p.Update(path, false)
		p.relay(16)
		p.minute()
		if got := p.packets(t, 9*time.Minute, time.Minute); got != "1 2 - - - - - - 16" {
			t.Error(got)
		}
		if s := p.State(); s.File != path {
			t.Errorf("%+v", s)
		}
		p.end()
	})
}

func TestProcess(t *testing.T) {
	cpu, memory := Process()
	later, _ := Process()
	if memory < 1<<20 || memory > 1<<40 || later < cpu {
		t.Errorf("%v, then %v; %d bytes", cpu, later, memory)
	}
}
