package control

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/rate"
)

// sparsely is how often a line about wrong tokens is logged.
const sparsely = time.Minute

// wrongTokens is how many an address may try: the next ones are not looked at.
var wrongTokens = rate.Limit{PerSecond: 0.2, Burst: 10}

// A Door is what stands before a handler where strangers can knock.
type Door struct {
	next  http.Handler
	named func(host string) bool
	what  string // those with the token may do
	log   *slog.Logger
	began time.Time

	token atomic.Pointer[Token]

	wrong, limited, strange atomic.Uint64

	mu        sync.Mutex
	strangers sources       // guarded by mu: who had wrong tokens
	logFrom   time.Duration // guarded by mu: from when on a line is logged
}

// NewDoor lets those with the token to the handler, who call it by an address or by a
// name for which named returns true. What they may do there is for the log.
func NewDoor(next http.Handler, token Token, named func(host string) bool, what string, log *slog.Logger) *Door {
	d := &Door{next: next, named: named, what: what, log: log, began: time.Now(), strangers: newSources(wrongTokens)}
	d.SetToken(token)
	return d
}

// SetToken has another token count from now on, and reports whether it is another one.
func (d *Door) SetToken(t Token) (changed bool) {
	before := d.token.Swap(&t)
	return before == nil || *before != t
}

// HasToken reports whether anybody can have the token.
func (d *Door) HasToken() bool { return d.token.Load().set }

// Count adds whom it turned away to a snapshot.
func (d *Door) Count(s *Snapshot) {
	s.WrongTokens, s.Limited, s.Strange = d.wrong.Load(), d.limited.Load(), d.strange.Load()
}

// ServeHTTP lets a request in, or says why not.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if why := d.refusal(w, r); why != nil {
		w.Header().Set("Connection", "close") // nothing more is read of it
		w.Header().Set("Cache-Control", "no-store")
		fail(w, why)
		return
	}
	d.next.ServeHTTP(w, r)
}

// refusal returns nil for who may come in. Pages in a browser can send requests here,
// also under a name of their own that leads here (DNS rebinding); they say where they
// are from, and do not know the token.
func (d *Door) refusal(w http.ResponseWriter, r *http.Request) *Error {
	switch {
	case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "":
		d.strange.Add(1)
		return &Error{http.StatusForbidden, "this is not for web pages"}
	case !d.ours(r.Host):
		return d.misdirected()
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		secret = ""
	}
	return d.Try(w, r, strings.TrimSpace(secret))
}

func (d *Door) misdirected() *Error {
	d.strange.Add(1)
	return &Error{http.StatusMisdirectedRequest, "this answers to an address, to localhost, and to the names of this server and its certificate"}
}

// Named has a handler answer only who calls it by an address or a name of ours.
func (d *Door) Named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !d.ours(r.Host) {
			fail(w, d.misdirected())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Try says why a secret that came with a request is not the token, or is not looked at;
// nil: it is the token.
func (d *Door) Try(w http.ResponseWriter, r *http.Request, secret string) *Error {
	from, now := remoteOf(r), time.Since(d.began)
	if !d.mayTry(from, now, false) {
		d.limited.Add(1)
		w.Header().Set("Retry-After", strconv.Itoa(int(1/wrongTokens.PerSecond)))
		return &Error{http.StatusTooManyRequests, "too many wrong tokens came from this address: wait a little"}
	}
	if d.token.Load().is(secret) {
		return nil
	}
	d.mayTry(from, now, true)
	d.wrong.Add(1)
	d.tell(from, now)
	w.Header().Set("WWW-Authenticate", "Bearer")
	return &Error{http.StatusUnauthorized, "the token is missing or not the one of this server"}
}

// ours reports whether a Host is an address or a name of ours.
func (d *Door) ours(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	_, err := netip.ParseAddr(host)
	return err == nil || strings.EqualFold(host, "localhost") || host != "" && d.named(host)
}

// mayTry reports whether an address may try another token; wrong notes that it had
// one that is not ours. Those for which the table has no room may try.
func (d *Door) mayTry(from netip.Addr, now time.Duration, wrong bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if wrong {
		return d.strangers.take(from, now)
	}
	return d.strangers.has(from, now)
}

// tell logs a wrong token, once a minute.
func (d *Door) tell(from netip.Addr, now time.Duration) {
	d.mu.Lock()
	due := now >= d.logFrom
	if due {
		d.logFrom = now + sparsely
	}
	d.mu.Unlock()
	if due {
		d.log.Warn("somebody asks without the token", "to", d.what, "from", from.String(), "wrong_tokens", d.wrong.Load())
	}
}

// remoteOf is whom a request counts for.
func remoteOf(r *http.Request) netip.Addr {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	return addrOf(net.TCPAddrFromAddrPort(from))
}
