package coord

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// The model: peers that join, move, are renamed and removed through any of three
// coordinators, and viewers that watch through any of them, while coordinators are
// killed, paused and parted from the store, and soft buckets made anew. Names and
// homes only count up, so a view that goes back shows.

type world struct {
	t       *testing.T
	rng     *rand.Rand
	kept    *coordstore.Memory
	all     []*coordinator // nil: killed
	nets    []string
	invites map[string]string // ID of the invite, by tailnet
	peers   []*peer
	viewers []*viewer
	anew    bool // a soft bucket was made anew, and not all have reported since
	ops     atomic.Int64
	failed  atomic.Int64
}

// peer is a key that is a member, or not.
type peer struct {
	key   key.Public
	net   string
	count int // of its names
	home  int // last one tried
	seq   uint64

	acked, sure bool // is a member; what was answered last is how it is
	ackedHome   int
	ackedName   string
}

type seen struct {
	name string
	home int
}

// viewer is who watches; its view changes only with each at.
type viewer struct {
	w      *world
	net    string
	key    key.Public
	joined int64

	mu      sync.Mutex
	st      *stream
	at      *coordinator
	gone    bool // moved or failed: has to go elsewhere
	view    map[key.Public]seen
	next    map[key.Public]seen // until at
	floor   map[key.Public]int  // names below are from before a removal
	cursor  string
	ats     int
	blocked bool // writes fail: the reader is gone
}

func number(name string) int {
	n, _ := strconv.Atoi(name[strings.LastIndexByte(name, 'x')+1:])
	return n
}

func (v *viewer) write(lines [][]byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.blocked {
		return context.Canceled
	}
	for _, text := range bytes.SplitAfter(bytes.Join(lines, nil), []byte("\n")) {
		if len(text) > 0 {
			v.take(text)
		}
	}
	return nil
}

func (v *viewer) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gone = true
}
func (v *viewer) cut() {}

func (v *viewer) take(text []byte) {
	var e coordapi.Event
	if err := json.Unmarshal(text, &e); err != nil {
		v.w.t.Errorf("%s: %v", text, err)
	}
	switch e.Type {
	case coordapi.EventSnapshot:
		v.next = map[key.Public]seen{}
	case coordapi.EventResumed:
		v.next = maps.Clone(v.view)
	case coordapi.EventPeer, coordapi.EventSelf:
		now := seen{e.Peer.Name, e.Peer.Home}
		if now.home == 0 {
			now.home = v.view[e.Peer.Key].home
		}
		v.next[e.Peer.Key] = now
	case coordapi.EventGone:
		delete(v.next, e.Key)
	case coordapi.EventRemoved:
		v.w.t.Errorf("a viewer is told that it was removed")
	case coordapi.EventAt:
		v.ats++
		v.check()
		v.view, v.cursor = maps.Clone(v.next), e.Cursor
	}
}

// check compares the view that is about to be with the one that is.
func (v *viewer) check() {
	for k, now := range v.next {
		before, was := v.view[k]
		if number(now.name) < v.floor[k] || was && number(now.name) < number(before.name) {
			v.w.t.Errorf("a name went back: %+v, %+v, floor %d", before, now, v.floor[k])
		}
		if was && now.home < before.home && !v.w.anew {
			v.w.t.Errorf("a home went back: %+v, %+v", before, now)
		}
	}
	for k, before := range v.view {
		if _, is := v.next[k]; !is {
			v.floor[k] = number(before.name) + 1
		}
	}
}

// connect watches at a coordinator, from where the viewer was.
func (v *viewer) connect(c *coordinator) {
	v.mu.Lock()
	v.gone, v.blocked, v.at = false, false, c
	st := &stream{of: c.Service, ses: session{tailnet: v.net, key: v.key, joined: v.joined, expires: time.Now().Add(time.Hour).Unix()},
		out: v, done: make(chan struct{})}
	v.st = st
	cursor := v.cursor
	v.mu.Unlock()
	ok := c.streams.start(st, func(st *stream) source {
		if sub := c.state.Subscribe(v.net, v.key, cursor, st); sub != nil {
			return ofMember{c.Service, sub, v.net}
		}
		return nil
	})
	if !ok {
		v.close()
	}
}

func (v *viewer) lost() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gone || v.at == nil
}

func (w *world) some() *coordinator {
	for {
		if c := w.all[w.rng.IntN(len(w.all))]; c != nil {
			return c
		}
	}
}

func (w *world) start(i int) {
	w.all[i] = start(w.t, w.kept.Share(), func(c *Config) { c.Name = fmt.Sprintf("c%d", i) })
}

func newWorld(t *testing.T, seed uint64, viewers int) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 11)), kept: coordstore.NewMemory(), invites: map[string]string{}, all: make([]*coordinator, 3)}
	for i := range w.all {
		w.start(i)
		w.all[i].ready()
	}
	for n := range 3 {
		net := w.all[0].newTailnet(fmt.Sprintf("net%d", n))
		i := w.all[0].newInvite(net.Name, 10_000)
		w.nets, w.invites[net.ID] = append(w.nets, net.ID), fmt.Sprintf("%x", i.ID)
		for range 12 {
			p := &peer{key: key.NewPrivate().Public(), net: net.ID, sure: true}
			w.peers = append(w.peers, p)
			w.act(p, w.all[0], 6)
		}
	}
	for i := range viewers {
		v := &viewer{w: w, net: w.nets[i%3], key: key.NewPrivate().Public(), view: map[key.Public]seen{}, floor: map[key.Public]int{}}
		m, err := w.all[0].becomeMember(t.Context(), v.net, w.invites[v.net], coordapi.Join{Key: v.key, Name: "viewer-x0"})
		if err != nil {
			t.Fatal(err)
		}
		v.joined = m.Joined
		w.viewers = append(w.viewers, v)
	}
	return w
}

// act does something as, or to, a peer. What fails may have come to pass.
func (w *world) act(p *peer, c *coordinator, what int) {
	ctx, cancel := context.WithTimeout(w.t.Context(), tryTime)
	defer cancel()
	var err error
	switch {
	case what < 6:
		err = w.report(ctx, p, c)
	case what == 6:
		var m coordstate.Member
		p.count++
		m, err = c.becomeMember(ctx, p.net, w.invites[p.net], coordapi.Join{Key: p.key, Name: fmt.Sprintf("%xx%d", p.key[:3], p.count)})
		p.acked, p.ackedName = true, m.Name
	case what == 7:
		p.count++
		name := fmt.Sprintf("%xx%d", p.key[:3], p.count)
		_, err = c.change(ctx, p.net, p.key, name, false)
		p.acked, p.ackedName = true, name
	default:
		err = c.remove(ctx, p.net, p.key)
		p.acked = false
	}
	if what >= 6 { // that it is a member already may be what a coordinator thinks that is behind
		p.sure = err == nil && (what != 6 || number(p.ackedName) == p.count)
	}
	if err != nil {
		w.failed.Add(1)
	}
	w.ops.Add(1)
}

func (w *world) report(ctx context.Context, p *peer, c *coordinator) error {
	p.home++
	p.seq++
	joined, _ := c.state.Counts(p.net, p.key)
	_, err := c.Service.report(ctx, session{tailnet: p.net, key: p.key, joined: joined}, coordapi.Report{Boot: 1, Seq: p.seq, Home: p.home}, netip.Addr{})
	if err == nil {
		p.ackedHome = p.home
	}
	if err != nil && (refusal(err).Code == coordapi.CodeNotMember || refusal(err).Code == coordapi.CodeUnauthorized) {
		p.home = max(p.ackedHome, p.home-1)
		return err
	}
	return err
}

// trouble does something to a coordinator or the store.
func (w *world) trouble() {
	i := w.rng.IntN(len(w.all))
	c := w.all[i]
	switch n := w.rng.IntN(10); {
	case c == nil:
		w.start(i)
	case n < 2 && w.alive() > 1:
		c.store.Break() // so that it cannot tidy up
		c.stop()
		w.all[i] = nil
	case n < 4:
		c.store.Pause()
	case n < 6:
		c.store.Break()
	case n < 9:
		c.store.Heal()
	default:
		w.anew = true
		w.kept.Remake(coordstore.Soft(coordstore.SoftOf(w.nets[w.rng.IntN(3)])))
	}
}

func (w *world) alive() (n int) {
	for _, c := range w.all {
		if c != nil {
			n++
		}
	}
	return n
}

func (w *world) step() {
	var acts sync.WaitGroup
	for _, i := range w.rng.Perm(len(w.peers))[:w.rng.IntN(6)] { // a peer does one thing at a time
		p, c, what := w.peers[i], w.some(), w.rng.IntN(9)
		acts.Go(func() { w.act(p, c, what) })
	}
	for range w.rng.IntN(8) {
		v := w.viewers[w.rng.IntN(len(w.viewers))]
		if v.lost() {
			continue
		}
		v.mu.Lock()
		v.blocked = w.rng.IntN(2) == 0 // what is under way is lost
		st := v.st
		v.mu.Unlock()
		st.end()
	}
	if w.rng.IntN(4) == 0 {
		w.trouble()
	}
	time.Sleep(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
	for _, v := range w.viewers {
		if v.lost() && w.rng.IntN(3) > 0 {
			v.connect(w.some())
		}
	}
	acts.Wait()
}

// settle heals all, lets all report again as members do, and waits.
func (w *world) settle() {
	for i, c := range w.all {
		if c == nil {
			w.start(i)
			continue
		}
		c.store.Heal()
	}
	time.Sleep(2 * time.Minute)
	for _, p := range w.peers {
		if _, ok := w.all[0].state.Find(p.net, p.key); ok {
			if err := w.report(w.t.Context(), p, w.some()); err != nil {
				w.t.Errorf("after all has healed: %v", err)
			}
		}
	}
	time.Sleep(time.Minute)
	for _, v := range w.viewers {
		if v.lost() {
			v.connect(w.some())
		}
	}
	time.Sleep(time.Minute)
	synctest.Wait()
}

// compare looks whether all see what a new coordinator loads, and whether that is what
// was answered.
func (w *world) compare() {
	fresh := start(w.t, w.kept.Share(), nil).ready()
	defer fresh.stop()
	want := map[string]map[key.Public]seen{}
	for _, net := range w.nets {
		want[net] = map[key.Public]seen{}
		for _, m := range fresh.state.Members(net) {
			want[net][m.Key] = seen{m.Name, int(m.Soft.Home)}
		}
	}
	for i, v := range w.viewers {
		v.mu.Lock()
		if !maps.Equal(v.view, want[v.net]) {
			w.t.Errorf("viewer %d, gone %v: %s", i, v.gone, difference(v.view, want[v.net]))
		}
		v.mu.Unlock()
	}
	for _, p := range w.peers {
		got, is := want[p.net][p.key]
		if p.sure && (is != p.acked || is && got.name != p.ackedName) {
			w.t.Errorf("peer: %+v is %v, was answered %v %s", got, is, p.acked, p.ackedName)
		}
		if is && got.home != p.ackedHome {
			w.t.Errorf("peer: home %d, was answered %d", got.home, p.ackedHome)
		}
	}
	w.unique(fresh)
}

func (w *world) unique(c *coordinator) {
	for _, net := range w.nets {
		names, indexes := map[string]bool{}, map[uint32]bool{}
		for _, m := range c.state.Members(net) {
			if names[m.Name] || indexes[m.Index] {
				w.t.Errorf("two members have the name %s or the index %d", m.Name, m.Index)
			}
			names[m.Name], indexes[m.Index] = true, true
		}
	}
}

func TestNothingIsLostOrGoesBack(t *testing.T) {
	seeds := uint64(6)
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runModel(t, seed, 200, 100) })
		})
	}
}

func runModel(t *testing.T, seed uint64, viewers, steps int) {
	w := newWorld(t, seed, viewers)
	defer func() {
		for _, c := range w.all {
			if c != nil {
				c.stop()
			}
		}
	}()
	for range steps {
		w.step()
	}
	w.settle()
	w.compare()
	ats := 0
	for _, v := range w.viewers {
		ats += v.ats
	}
	ops, failed := w.ops.Load(), w.failed.Load()
	if ats == 0 || ops == failed {
		t.Errorf("%d ats, %d operations, %d of them failed: this shows nothing", ats, ops, failed)
	}
	t.Logf("%d ats, %d operations, %d failed", ats, ops, failed)
}

func difference(got, want map[key.Public]seen) (text string) {
	for k := range want {
		if got[k] != want[k] {
			text += fmt.Sprintf("%s is seen as %+v, is %+v; ", k.Short(), got[k], want[k])
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			text += fmt.Sprintf("%s is seen as %+v, is none; ", k.Short(), got[k])
		}
	}
	return text
}
