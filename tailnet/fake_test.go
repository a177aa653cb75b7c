package tailnet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/key"
)

// fake is a coordination server in memory, for tests in fake time: some replicas, which
// all know the same, and do what they are told wrongly.
type fake struct {
	t        *testing.T
	key      key.Private
	replicas []*replica
	serving  sync.WaitGroup
	ctx      context.Context
	cancel   context.CancelFunc

	changed retry.Broadcast
	mu      sync.Mutex // guards all below
	rev     int
	epoch   string
	members map[key.Public]*fakeMember
	gone    map[key.Public]int
	derpMap string
	mapRev  int
	used    map[string]bool // challenges
	tokens  map[string]key.Public
	reports []coordapi.Report // that were taken
	rival   bool              // another machine reports
	invites map[string]int    // uses left
	calls   map[string]int    // by method and path, without what follows
	refuse  map[string]coordapi.Error
}

type fakeMember struct {
	coordapi.Peer
	rev       int
	boot, seq uint64
}

// replica is one coordinator.
type replica struct {
	f       *fake
	addr    string
	conns   chan net.Conn
	mu      sync.Mutex
	open    map[net.Conn]bool // guarded by mu
	down    bool              // guarded by mu: refuses connections
	members []*deadly         // guarded by mu: the other ends

	hangs  bool                                             // guarded by fake.mu: reports are not answered
	loses  bool                                             // guarded by fake.mu: answers to joins are lost
	floods bool                                             // guarded by fake.mu: answers about peers have no end
	behind bool                                             // guarded by fake.mu: has not heard of invites
	silent bool                                             // guarded by fake.mu: streams say nothing
	script func(w io.Writer, flush func(), r *http.Request) // guarded by fake.mu: instead of the stream
}

const fakeTailnet = "t1"

func newFake(t *testing.T, replicas int) *fake {
	f := &fake{
		t: t, key: key.NewPrivate(), epoch: "e1", members: make(map[key.Public]*fakeMember), gone: make(map[key.Public]int),
		used: make(map[string]bool), tokens: make(map[string]key.Public), invites: make(map[string]int), calls: make(map[string]int),
		refuse: make(map[string]coordapi.Error),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	for i := range replicas {
		r := &replica{f: f, addr: fmt.Sprintf("127.0.0.%d:80", i+1), conns: make(chan net.Conn), open: make(map[net.Conn]bool)}
		f.replicas = append(f.replicas, r)
		server := &http.Server{Handler: r.handler()}
		f.serving.Go(func() { server.Serve(r) })
		t.Cleanup(func() { f.cancel(); r.kill(); server.Close(); f.serving.Wait() })
	}
	return f
}

// Accept, Close and Addr make a listener of it.
func (r *replica) Accept() (net.Conn, error) {
	select {
	case c := <-r.conns:
		return c, nil
	case <-r.f.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (r *replica) Close() error   { return nil }
func (r *replica) Addr() net.Addr { return new(net.TCPAddr) }

// kill breaks all connections, and refuses others; revive takes them again.
func (r *replica) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = true
	for c := range r.open {
		c.Close()
	}
	clear(r.open)
}

func (r *replica) revive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = false
}

// deadly is the member's end of a connection that can die without a word: what is sent is
// lost, and nothing comes.
type deadly struct {
	net.Conn
	dead atomic.Bool
}

func (c *deadly) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.dead.Load() {
			return n, err
		}
	}
}

func (c *deadly) Write(b []byte) (int, error) {
	if c.dead.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// mute has all connections die so.
func (r *replica) mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.members {
		c.dead.Store(true)
	}
}

func (f *fake) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	at := slices.IndexFunc(f.replicas, func(r *replica) bool { return r.addr == addr })
	if at < 0 {
		return nil, syscall.EHOSTUNREACH
	}
	return f.replicas[at].dial(ctx)
}

func (r *replica) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	r.mu.Lock()
	down := r.down
	r.open[theirs] = true
	mine := &deadly{Conn: ours}
	r.members = append(r.members, mine)
	r.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	select {
	case r.conns <- theirs:
		return mine, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// invite makes one with so many uses.
func (f *fake) invite(uses int, change ...func(*coordapi.Invite)) string {
	i := coordapi.Invite{Tailnet: fakeTailnet}
	i.ID[0] = byte(len(f.invites))
	for _, r := range f.replicas {
		i.Contacts = append(i.Contacts, coordapi.Contact{URL: "http://" + strings.TrimSuffix(r.addr, ":80")})
	}
	for _, c := range change {
		c(&i)
	}
	f.mu.Lock()
	f.invites[i.Credential()] = uses
	f.mu.Unlock()
	text, err := i.Text()
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// change changes what the tailnet has, as one change.
func (f *fake) change(do func(rev int)) {
	f.mu.Lock()
	f.rev++
	do(f.rev)
	f.mu.Unlock()
	f.changed.Send()
}

// put adds a member, or changes it.
func (f *fake) put(p coordapi.Peer) {
	f.change(func(rev int) {
		if f.members[p.Key] == nil {
			f.members[p.Key] = new(fakeMember)
		}
		f.members[p.Key].Peer, f.members[p.Key].rev = p, rev
		delete(f.gone, p.Key)
	})
}

func (f *fake) remove(k key.Public) {
	f.change(func(rev int) {
		delete(f.members, k)
		f.gone[k] = rev
	})
}

func (f *fake) setMap(text string) { f.change(func(rev int) { f.derpMap, f.mapRev = text, rev }) }

// renew loses the history: whoever resumes gets a snapshot.
func (f *fake) renew(epoch string) {
	f.change(func(int) { f.epoch = epoch; clear(f.gone) })
}

// peersBut are the others, as the one with that key is to see them.
func (f *fake) peersBut(k key.Public) []coordapi.Peer {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []coordapi.Peer
	for _, m := range f.members {
		if m.Key != k {
			all = append(all, m.Peer)
		}
	}
	slices.SortFunc(all, func(a, b coordapi.Peer) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (f *fake) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[call]
}

func (f *fake) lastReport() coordapi.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reports) == 0 {
		return coordapi.Report{}
	}
	return f.reports[len(f.reports)-1]
}

// refuses has a call refused from now on; an empty code ends that.
func (f *fake) refuses(call string, status int, code string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse[call] = coordapi.Error{Code: code, Message: "no: " + code, Status: status}
	if code == "" {
		delete(f.refuse, call)
	}
}

func (r *replica) handler() http.Handler {
	mux := http.NewServeMux()
	f := r.f
	handle := func(pattern string, do func(w http.ResponseWriter, r *http.Request)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			call := r.Method + " " + r.URL.Path
			f.mu.Lock()
			f.calls[call]++
			no, refused := f.refuse[call]
			f.mu.Unlock()
			if refused {
				deny(w, no.Status, no)
				return
			}
			do(w, r)
		})
	}
	handle("POST /v1/challenge", f.challenge)
	handle("POST /v1/join", r.lose(r.lag(f.join)))
	handle("POST /v1/login", f.login)
	handle("PUT /v1/self", r.hang(f.self))
	handle("GET /v1/peer/{key}", r.flood(f.peer))
	handle("GET /v1/watch", r.watch)
	return mux
}

// is asks about one of the flags.
func (r *replica) is(flag *bool) bool {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	return *flag
}

func (r *replica) lose(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if !r.is(&r.loses) {
			do(w, req)
			return
		}
		do(httptest.NewRecorder(), req)
		panic(http.ErrAbortHandler)
	}
}

func (r *replica) lag(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if r.is(&r.behind) {
			deny(w, 403, coordapi.Error{Code: coordapi.CodeInvite})
			return
		}
		do(w, req)
	}
}

func (r *replica) hang(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if r.is(&r.hangs) {
			io.Copy(io.Discard, req.Body) // or the end of the connection is not seen
			<-req.Context().Done()
			return
		}
		do(w, req)
	}
}

func (r *replica) flood(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if !r.is(&r.floods) {
			do(w, req)
			return
		}
		for {
			if _, err := io.WriteString(w, strings.Repeat(" ", 1<<10)); err != nil {
				return
			}
		}
	}
}

func deny(w http.ResponseWriter, status int, e coordapi.Error) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "3")
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(e)
}

func (f *fake) challenge(w http.ResponseWriter, _ *http.Request) {
	json.NewEncoder(w).Encode(coordapi.Challenge{Key: f.key.Public(), Challenge: fmt.Sprintf("%x", key.NewPrivate().Public())})
}

// proven uses a challenge up.
func (f *fake) provenLocked(k key.Public, challenge, kind, subject string, proof []byte) bool {
	if f.used[challenge] {
		return false
	}
	f.used[challenge] = true
	return coordapi.Proven(f.key, k, challenge, kind, subject, proof)
}

func (f *fake) sessionLocked(k key.Public) coordapi.Session {
	token := fmt.Sprintf("s%d", len(f.tokens))
	f.tokens[token] = k
	return coordapi.Session{Token: token, Expires: time.Now().Add(coordapi.SessionTime)}
}

func (f *fake) join(w http.ResponseWriter, r *http.Request) {
	var in coordapi.Join
	json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	left, known := f.invites[in.Invite]
	member := f.members[in.Key] != nil
	proven := f.provenLocked(in.Key, in.Challenge, coordapi.ForJoin, in.Invite, in.Proof)
	f.mu.Unlock()
	switch {
	case !proven:
		deny(w, 403, coordapi.Error{Code: coordapi.CodeProof})
		return
	case !known:
		deny(w, 403, coordapi.Error{Code: coordapi.CodeInvite})
		return
	case left == 0 && !member:
		deny(w, 403, coordapi.Error{Code: coordapi.CodeInviteUsed})
		return
	}
	if !member {
		f.mu.Lock()
		f.invites[in.Invite]--
		n := len(f.members) + 1
		f.mu.Unlock()
		f.put(coordapi.Peer{Key: in.Key, Name: in.Name, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{100, 64, byte(n >> 8), byte(n)})}})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[in.Key]
	json.NewEncoder(w).Encode(coordapi.Joined{
		Tailnet: fakeTailnet, TailnetName: "home", Name: m.Name, Addresses: m.Addresses, Session: f.sessionLocked(in.Key),
	})
}

func (f *fake) login(w http.ResponseWriter, r *http.Request) {
	var in coordapi.Login
	json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.provenLocked(in.Key, in.Challenge, coordapi.ForLogin, in.Tailnet, in.Proof) || in.Tailnet != fakeTailnet:
		deny(w, 403, coordapi.Error{Code: coordapi.CodeProof})
	case f.members[in.Key] == nil:
		deny(w, 403, coordapi.Error{Code: coordapi.CodeNotMember, Message: "not a member"})
	default:
		json.NewEncoder(w).Encode(f.sessionLocked(in.Key))
	}
}

// member is who asks; nil: nobody who may.
func (f *fake) memberLocked(w http.ResponseWriter, r *http.Request) *fakeMember {
	k, ok := f.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if !ok {
		deny(w, 401, coordapi.Error{Code: coordapi.CodeUnauthorized})
		return nil
	}
	if f.members[k] == nil {
		deny(w, 403, coordapi.Error{Code: coordapi.CodeNotMember, Message: "not a member"})
	}
	return f.members[k]
}

// forgetSessions makes all log in again.
func (f *fake) forgetSessions() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens = map[string]key.Public{}
}

func (f *fake) self(w http.ResponseWriter, r *http.Request) {
	var in coordapi.Report
	json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	m := f.memberLocked(w, r)
	if m == nil {
		f.mu.Unlock()
		return
	}
	if in.Boot < m.boot || in.Boot == m.boot && in.Seq <= m.seq {
		deny(w, 409, coordapi.Error{Code: coordapi.CodeStale, Boot: m.boot, Seq: m.seq})
		f.mu.Unlock()
		return
	}
	m.boot, m.seq = in.Boot, in.Seq
	f.reports = append(f.reports, in)
	p, rival := m.Peer, f.rival
	f.mu.Unlock()
	if p.Home != in.Home {
		p.Home = in.Home
		f.put(p)
	}
	json.NewEncoder(w).Encode(coordapi.Stored{Since: time.Now(), Conflict: rival})
}

func (f *fake) peer(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.memberLocked(w, r) == nil {
		return
	}
	k, err := key.ParsePublic(r.PathValue("key"))
	if err != nil || f.members[k] == nil {
		deny(w, 404, coordapi.Error{Code: coordapi.CodeNotFound})
		return
	}
	p, online := f.members[k].Peer, true
	p.Online = &online
	json.NewEncoder(w).Encode(p)
}

// watch is the stream.
func (r *replica) watch(w http.ResponseWriter, req *http.Request) {
	f := r.f
	f.mu.Lock()
	m := f.memberLocked(w, req)
	script := r.script
	f.mu.Unlock()
	if m == nil {
		return
	}
	flush := w.(http.Flusher).Flush
	flush()
	if script != nil {
		script(w, flush, req)
		return
	}
	epoch, since := parseCursor(req.URL.Query().Get("since"))
	beat := time.NewTicker(coordapi.BeatTime)
	defer beat.Stop()
	for first := true; ; first = false {
		news := f.changed.Wait()
		f.mu.Lock()
		lines, now := f.linesLocked(m.Key, epoch, since, first)
		silent := r.silent
		epoch, since = f.epoch, now
		f.mu.Unlock()
		if !silent {
			write(w, lines...)
			flush()
		}
		if len(lines) > 0 && lines[len(lines)-1].Type == coordapi.EventRemoved {
			return
		}
	wait:
		select {
		case <-news:
		case <-beat.C:
			f.mu.Lock()
			silent = r.silent
			f.mu.Unlock()
			if !silent {
				write(w, coordapi.Event{Type: coordapi.EventBeat})
				flush()
			}
			goto wait
		case <-req.Context().Done():
			return
		case <-f.ctx.Done():
			return
		}
	}
}

func write(w io.Writer, lines ...coordapi.Event) {
	for _, l := range lines {
		json.NewEncoder(w).Encode(l)
	}
}

func parseCursor(text string) (epoch string, rev int) {
	epoch, number, _ := strings.Cut(text, "/")
	rev, _ = strconv.Atoi(number)
	return epoch, rev
}

func (f *fake) linesLocked(me key.Public, epoch string, since int, first bool) (lines []coordapi.Event, now int) {
	if f.members[me] == nil {
		return []coordapi.Event{{Type: coordapi.EventRemoved}}, f.rev
	}
	switch {
	case epoch != f.epoch:
		lines, since = append(lines, coordapi.Event{Type: coordapi.EventSnapshot}), 0
	case first:
		lines = append(lines, coordapi.Event{Type: coordapi.EventResumed})
	}
	if f.mapRev > since && f.derpMap != "" {
		lines = append(lines, coordapi.Event{Type: coordapi.EventMap, Map: json.RawMessage(f.derpMap)})
	}
	for _, k := range slices.SortedFunc(maps.Keys(f.members), key.Public.Compare) {
		if m := f.members[k]; m.rev > since {
			p, kind := m.Peer, coordapi.EventPeer
			if k == me {
				kind = coordapi.EventSelf
			}
			lines = append(lines, coordapi.Event{Type: kind, Peer: &p})
		}
	}
	for k, rev := range f.gone {
		if rev > since {
			lines = append(lines, coordapi.Event{Type: coordapi.EventGone, Key: k})
		}
	}
	return append(lines, coordapi.Event{Type: coordapi.EventAt, Cursor: fmt.Sprintf("%s/%d", f.epoch, f.rev)}), f.rev
}
