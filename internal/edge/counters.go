package edge

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/histogram"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/sni"
	"github.com/detour-relay/detour/relay"
)

// counters are the numbers behind a Snapshot.
type counters struct {
	accepted     atomic.Uint64
	acceptErrors atomic.Uint64
	rejected     atomic.Uint64
	full         atomic.Uint64
	evicted      atomic.Uint64
	greedy       atomic.Uint64
	expired      atomic.Uint64

	tls12    atomic.Uint64
	tls13    atomic.Uint64
	failures [failures]atomic.Uint64

	handshakes histogram.Histogram // nanoseconds

	proxy [proxyRefusals]atomic.Uint64

	classic   atomic.Uint64
	fastStart atomic.Uint64
	webSocket atomic.Uint64
	refused   atomic.Uint64
	sentAway  atomic.Uint64
	floods    atomic.Uint64
	visits    atomic.Uint64
	busy      atomic.Uint64
	down      atomic.Uint64
	serving   atomic.Int64
}

// A Snapshot is the state of a server at one moment. Unless it says "now", a
// field counts from the start.
//
// On a TLS listener, once no handshake is under way:
//
//	Accepted = Rejected + Full + TLS12 + TLS13 + the sum of HandshakeFailures + SNI.Passed + the sum of SNI.Refused
//
// without what was refused for want of a PROXY header before a handshake began, and
// with what Rejected counts of requests that proxies brought.
type Snapshot struct {
	Accepted     uint64 `json:"accepted"`      // connections taken from the listener
	AcceptErrors uint64 `json:"accept_errors"` // attempts that failed: no descriptors, no memory
	Rejected     uint64 `json:"rejected"`      // closed at once, over the accept limit
	Full         uint64 `json:"full"`          // closed at once, for there are as many conns as may be

	Pending int    `json:"pending"` // not logged in, now
	Evicted uint64 `json:"evicted"` // closed as the oldest of too many pending ones
	Greedy  uint64 `json:"greedy"`  // closed because pending ones had sent too much
	Expired uint64 `json:"expired"` // closed because they were pending for too long

	TLS12             uint64            `json:"tls12"` // handshakes completed, by version
	TLS13             uint64            `json:"tls13"`
	Handshakes        relay.Histogram   `json:"handshakes"` // seconds that those completed took
	HandshakeFailures HandshakeFailures `json:"handshake_failures"`

	Proxies ProxyRefusals `json:"proxies_refused"`

	SNI  sni.Snapshot `json:"sni"`
	Site Site         `json:"site"`

	Classic   uint64 `json:"classic"`    // upgrades answered with 101
	FastStart uint64 `json:"fast_start"` // upgrades without an answer in HTTP
	WebSocket uint64 `json:"websocket"`  // upgrades to WebSocket
	Refused   uint64 `json:"refused"`    // requests to /derp that were no upgrade
	SentAway  uint64 `json:"sent_away"`  // requests to /derp while draining
	Floods    uint64 `json:"floods"`     // conns ended for records or frames without data, too many a second
	Serving   int    `json:"serving"`    // conns in the relay, now
}

// HandshakeFailures are TLS handshakes that came to nothing, by reason.
type HandshakeFailures struct {
	Timeout  uint64 `json:"timeout"`  // too slow
	Left     uint64 `json:"left"`     // the peer closed the connection
	NotTLS   uint64 `json:"not_tls"`  // the peer spoke something else
	Alert    uint64 `json:"alert"`    // the peer refused us: a wrong pin, an unknown authority
	Mismatch uint64 `json:"mismatch"` // no common version, cipher or protocol, or garbage
	Cut      uint64 `json:"cut"`      // evicted, expired or shut down
}

// ProxyRefusals are connections and requests that came to nothing because nobody knew
// whom a proxy brought, by reason.
type ProxyRefusals struct {
	Missing       uint64 `json:"missing"`       // it is believed, and does not say whom it brings
	Malformed     uint64 `json:"malformed"`     // what it says cannot be read
	Slow          uint64 `json:"slow"`          // its PROXY header has not come in time
	Left          uint64 `json:"left"`          // the connection has ended before its header
	Contradiction uint64 `json:"contradiction"` // Forwarded and X-Forwarded-For name different peers
	Unexpected    uint64 `json:"unexpected"`    // a PROXY header from where none is taken
}

// A Site is what has become of requests that the operator's own home answers.
type Site struct {
	Answered uint64 `json:"answered"` // requests, also those that it has answered with an error
	Busy     uint64 `json:"busy"`     // answered with 503, because there are as many foreign connections as may be
	Down     uint64 `json:"down"`     // answered with 502, because the server behind it does not answer
}

// isFlood reports whether a conn ended because its peer made work out of nothing.
func isFlood(err error) bool {
	return errors.Is(err, netio.ErrControlRecords) || errors.Is(err, netio.ErrAnswersUnread) || errors.Is(err, errWebSocketFlood)
}

// Conns returns how many conns the relay has from this server now.
func (s *Server) Conns() int { return int(s.count.serving.Load()) }

// Snapshot returns the numbers now.
func (s *Server) Snapshot() Snapshot {
	c := &s.count
	return Snapshot{
		Accepted:     c.accepted.Load(),
		AcceptErrors: c.acceptErrors.Load(),
		Rejected:     c.rejected.Load(),
		Full:         c.full.Load(),
		Pending:      s.pending.len(),
		Evicted:      c.evicted.Load(),
		Greedy:       c.greedy.Load(),
		Expired:      c.expired.Load(),
		TLS12:        c.tls12.Load(),
		TLS13:        c.tls13.Load(),
		Handshakes:   relay.Histogram(c.handshakes.Snapshot(float64(time.Second))),
		HandshakeFailures: HandshakeFailures{
			Timeout:  c.failures[failureTimeout].Load(),
			Left:     c.failures[failureLeft].Load(),
			NotTLS:   c.failures[failureNotTLS].Load(),
			Alert:    c.failures[failureAlert].Load(),
			Mismatch: c.failures[failureMismatch].Load(),
			Cut:      c.failures[failureCut].Load(),
		},
		Proxies: ProxyRefusals{
			Missing:       c.proxy[refusedMissing].Load(),
			Malformed:     c.proxy[refusedMalformed].Load(),
			Slow:          c.proxy[refusedSlow].Load(),
			Left:          c.proxy[refusedLeft].Load(),
			Contradiction: c.proxy[refusedContradiction].Load(),
			Unexpected:    c.proxy[refusedUnexpected].Load(),
		},
		SNI:       s.passer.Snapshot(),
		Site:      Site{Answered: c.visits.Load(), Busy: c.busy.Load(), Down: c.down.Load()},
		Classic:   c.classic.Load(),
		FastStart: c.fastStart.Load(),
		WebSocket: c.webSocket.Load(),
		Refused:   c.refused.Load(),
		SentAway:  c.sentAway.Load(),
		Floods:    c.floods.Load(),
		Serving:   s.Conns(),
	}
}
