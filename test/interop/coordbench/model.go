package coordbench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordload"
	"github.com/detour-relay/detour/key"
)

// Model is a random run: members that report, leave and join through any of three coordinators, which are killed and
// paused, and watchers that stop and go on at any of them. All reports are numbered, so that one that is lost, or that
// comes after a later one, shows.
type Model struct {
	Seconds  float64 `json:"seconds"`
	Watchers int     `json:"watchers"`
	Events   int64   `json:"events"` // that watchers were told about peers
	Watches  int64   `json:"watches"`
	Anew     int64   `json:"snapshots"` // of the watches, those that began anew
	Taken    int64   `json:"reports_taken"`
	Failed   int64   `json:"reports_failed"`
	Joins    int64   `json:"joins"`
	Removals int64   `json:"removals"`
	Kills    int     `json:"kills"`
	Pauses   int     `json:"pauses"`
	Unsure   int     `json:"unsure"` // members whose removal may have come later than it was asked for: they do not count as lost

	Lost      int   `json:"lost"`         // members whose last report that was taken is not there at the end
	Disorder  int64 `json:"out_of_order"` // events with an older report than the watcher had
	Different int   `json:"different"`    // members that a watcher, or another coordinator, has otherwise at the end
}

// Wrong is what must be 0.
func (m Model) Wrong() float64 { return float64(m.Lost) + float64(m.Disorder) + float64(m.Different) }

const (
	modelNets    = 4
	modelPeers   = 20 // who report, in each tailnet
	modelWorkers = 8
	modelCall    = 3 * time.Second // a call that takes longer goes elsewhere
	modelSettle  = time.Minute     // for views to become equal at the end
)

// numbered is a disco key with a number in it. 0 is none.
func numbered(n uint64) (k key.Public) {
	binary.BigEndian.PutUint64(k[:], n)
	return k
}

func numberOf(k key.Public) uint64 { return binary.BigEndian.Uint64(k[:]) }

// model is the run.
type model struct {
	*Place
	all      []*coordinator
	running  []atomic.Bool      // of all
	through  []*coordload.Crowd // the peers, by which coordinator they ask
	peers    []*modelPeer
	watchers []*watcher
	crowd    *coordload.Crowd // of the watchers
	ending   atomic.Bool
	found    Model

	mu      sync.Mutex
	history map[key.Public][]string // guarded by mu: what befell a peer, for whoever looks for the cause of what is wrong

	events, watches, anew, taken, failed, joins, removals, disorder atomic.Int64
}

// modelPeer is who reports; one worker at a time has it.
type modelPeer struct {
	tailnet    string
	key        key.Public
	credential string
	number     uint64 // of the last report
	taken      uint64 // the last one that was taken since it joined; 0: none
	member     bool
	unsure     bool
}

// Model runs for so long.
func (p *Place) Model(ctx context.Context, watchers int, long time.Duration) (found Model, err error) {
	m := &model{Place: p}
	if m.all, err = p.three(ctx); err != nil {
		return found, err
	}
	defer stopAll(m.all)
	m.found = Model{Watchers: watchers, Seconds: long.Seconds()}
	if err := m.prepare(ctx, watchers); err != nil {
		return found, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	for _, w := range m.watchers {
		watching.Go(func() { m.watch(ctx, w) })
	}
	if err := m.run(ctx, long); err != nil {
		return m.found, err
	}
	m.ending.Store(true)
	err = m.settle(ctx)
	m.found.Events, m.found.Watches, m.found.Anew, m.found.Disorder = m.events.Load(), m.watches.Load(), m.anew.Load(), m.disorder.Load()
	m.found.Taken, m.found.Failed, m.found.Joins, m.found.Removals = m.taken.Load(), m.failed.Load(), m.joins.Load(), m.removals.Load()
	return m.found, err
}

// prepare makes the tailnets, and has the peers and watchers join.
func (m *model) prepare(ctx context.Context, watchers int) error {
	m.running = make([]atomic.Bool, len(m.all))
	for n := range m.running {
		m.running[n].Store(true)
	}
	var reporting, watching []*coordload.Member
	invites := map[string]string{}
	for n := range modelNets {
		net := fmt.Sprintf("net%d", n)
		var made coordapi.Invited
		err := errors.Join(m.all[0].operate(ctx, http.MethodPost, "tailnets", coordapi.NewTailnet{Name: net}, nil),
			m.all[0].operate(ctx, http.MethodPost, "tailnets/"+net+"/invites", coordapi.NewInvite{Uses: 10_000, For: 2 * time.Hour}, &made))
		if err != nil {
			return err
		}
		invite, err := coordapi.ParseInvite(made.Text)
		if err != nil {
			return err
		}
		invites[net] = invite.Credential()
		for range modelPeers {
			one := &coordload.Member{Tailnet: invite.Tailnet, Key: key.NewPrivate()}
			reporting = append(reporting, one)
			m.peers = append(m.peers, &modelPeer{tailnet: net, key: one.Key.Public(), credential: invites[net], member: true})
		}
	}
	for n := range watchers {
		net := fmt.Sprintf("net%d", n%modelNets)
		watching = append(watching, &coordload.Member{Tailnet: net, Key: key.NewPrivate()})
		m.watchers = append(m.watchers, &watcher{i: n, tailnet: net, key: watching[n].Key.Public(), m: m})
	}
	return m.join(ctx, reporting, watching, invites)
}

func (m *model) join(ctx context.Context, reporting, watching []*coordload.Member, invites map[string]string) (err error) {
	for _, c := range m.all {
		through, err := newCrowd([]string{c.addr}, reporting)
		if err != nil {
			return err
		}
		m.through = append(m.through, through)
	}
	if m.crowd, err = newCrowd(addrsOf(m.all), watching); err != nil {
		return err
	}
	return errors.Join(
		m.through[0].Each(ctx, modelWorkers, func(ctx context.Context, i int) error {
			return m.through[0].Join(ctx, i, m.peers[i].credential, fmt.Sprintf("peer-%d", i))
		}),
		m.crowd.Each(ctx, modelWorkers, func(ctx context.Context, i int) error {
			return m.crowd.Join(ctx, i, invites[watching[i].Tailnet], fmt.Sprintf("watcher-%d", i))
		}))
}

// run has the workers and the breaker at work.
func (m *model) run(ctx context.Context, long time.Duration) error {
	running, stop := context.WithTimeout(ctx, long)
	defer stop()
	var working sync.WaitGroup
	for n := range modelWorkers {
		working.Go(func() {
			for running.Err() == nil {
				m.act(ctx, rand.IntN(len(m.peers)/modelWorkers)*modelWorkers+n)
				time.Sleep(rand.N(20 * time.Millisecond))
			}
		})
	}
	err := m.breakThings(ctx, running)
	stop()
	working.Wait()
	return err
}

// some is a coordinator that runs, as far as is known.
func (m *model) some() int {
	for {
		if n := rand.IntN(len(m.all)); m.running[n].Load() {
			return n
		}
	}
}

// act does something as a peer, or to it.
func (m *model) act(ctx context.Context, i int) {
	ctx, cancel := context.WithTimeout(ctx, modelCall)
	defer cancel()
	switch p := m.peers[i]; {
	case !p.member:
		m.rejoin(ctx, i)
	case rand.IntN(40) == 0:
		m.remove(ctx, i)
	default:
		m.report(ctx, i, rand.IntN(len(m.all))) // also one that is down or paused
	}
}

func (m *model) rejoin(ctx context.Context, i int) {
	p := m.peers[i]
	if m.through[m.some()].Join(ctx, i, p.credential, fmt.Sprintf("peer-%d", i)) == nil {
		p.member = true
		m.joins.Add(1)
		m.note(p.key, "joins; its last report was %d", p.number)
	}
}

func (m *model) remove(ctx context.Context, i int) {
	p := m.peers[i]
	err := m.all[m.some()].operate(ctx, http.MethodDelete, "tailnets/"+p.tailnet+"/members/"+p.key.String(), nil, nil)
	refused := new(coordapi.Error)
	switch {
	case err == nil:
		p.member, p.taken = false, 0
		m.removals.Add(1)
		m.note(p.key, "is removed; its last report was %d", p.number)
	case !errors.As(err, &refused) || refused.Code == coordapi.CodeUnavailable:
		p.unsure = true // it may come to pass yet
	}
}

func (m *model) report(ctx context.Context, i, at int) bool {
	p := m.peers[i]
	p.number++
	err := m.through[at].Report(ctx, i, 1+int(p.number%4), numbered(p.number))
	if err == nil {
		p.taken = p.number
		m.taken.Add(1)
		return true
	}
	m.failed.Add(1)
	m.note(p.key, "report %d to %s fails: %v", p.number, m.all[at].name, err)
	refused := new(coordapi.Error)
	if errors.As(err, &refused) && (refused.Code == coordapi.CodeUnauthorized || refused.Code == coordapi.CodeNotMember) {
		if p.unsure || p.taken == 0 && refused.Code == coordapi.CodeNotMember {
			// A coordinator that had not heard of the removal has told it that it is a member still (decision 19).
			p.member, p.taken = false, 0
			return false
		}
		m.through[at].LogIn(ctx, i) // else the next report finds out
	}
	return false
}

// note is for the history, and what gives it back.
func (m *model) note(k key.Public, format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.history == nil {
		m.history = map[key.Public][]string{}
	}
	m.history[k] = append(m.history[k], time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// lately is the end of a peer's history.
func (m *model) lately(k key.Public) string {
	const last = 8
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.history[k]
	return strings.Join(all[max(0, len(all)-last):], "\n    ")
}

// breakThings kills and pauses coordinators in turn, and leaves all of them running.
func (m *model) breakThings(ctx, running context.Context) error {
	for turn := 0; ; turn++ {
		if !pause(running, time.Second+rand.N(3*time.Second)) {
			return awaitCurrent(ctx, m.all)
		}
		n := turn % len(m.all)
		m.running[n].Store(false)
		if turn/len(m.all)%2 == 0 {
			m.found.Kills++
			m.all[n].kill()
			pause(running, rand.N(3*time.Second))
			if err := m.all[n].start(ctx); err != nil {
				return err
			}
		} else {
			m.found.Pauses++
			m.all[n].cmd.Process.Signal(syscall.SIGSTOP)
			pause(running, 100*time.Millisecond+rand.N(8*time.Second))
			m.all[n].cmd.Process.Signal(syscall.SIGCONT)
		}
		m.running[n].Store(true)
	}
}

// pause reports whether ctx is still good after it.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
