package stun

import "sync/atomic"

// counters are the numbers behind a Snapshot.
type counters struct {
	received      atomic.Uint64
	requests      atomic.Uint64
	answeredIPv4  atomic.Uint64
	answeredIPv6  atomic.Uint64
	unhealthy     atomic.Uint64
	sendErrors    atomic.Uint64
	noLocalAddr   atomic.Uint64
	receiveErrors atomic.Uint64
	ignored       [reasons]atomic.Uint64
}

// A Snapshot is what a responder has done since it began. Once nothing is
// under way:
//
//	Received = Requests + the sum of Ignored
//	Requests = AnsweredIPv4 + AnsweredIPv6 + Unhealthy + SendErrors
type Snapshot struct {
	Received     uint64  `json:"received"` // datagrams
	Requests     uint64  `json:"requests"`
	AnsweredIPv4 uint64  `json:"answered_ipv4"`
	AnsweredIPv6 uint64  `json:"answered_ipv6"`
	Unhealthy    uint64  `json:"unhealthy"`   // requests left unanswered, as Config.Healthy said no
	SendErrors   uint64  `json:"send_errors"` // answers that the system did not take
	Ignored      Ignored `json:"ignored"`

	// NoLocalAddr counts requests to a socket bound to all addresses without
	// a word from the system which address was meant: it chose the one that
	// the answer came from.
	NoLocalAddr   uint64 `json:"no_local_addr"`
	ReceiveErrors uint64 `json:"receive_errors"`
	Healthy       bool   `json:"healthy"` // now
}

// Ignored are datagrams that are no requests, by reason.
type Ignored struct {
	TooLong            uint64 `json:"too_long"`
	Header             uint64 `json:"header"`               // not STUN
	NotRequest         uint64 `json:"not_a_request"`        // STUN, but no binding request
	Attributes         uint64 `json:"attributes"`           // overrun, or a fragment at the end
	Software           uint64 `json:"software"`             // does not say "tailnode"
	FingerprintNotLast uint64 `json:"fingerprint_not_last"` // or none
	FingerprintValue   uint64 `json:"fingerprint_value"`
}

// Snapshot returns the numbers now.
func (r *Responder) Snapshot() Snapshot {
	c := &r.count
	return Snapshot{
		Received:     c.received.Load(),
		Requests:     c.requests.Load(),
		AnsweredIPv4: c.answeredIPv4.Load(),
		AnsweredIPv6: c.answeredIPv6.Load(),
		Unhealthy:    c.unhealthy.Load(),
		SendErrors:   c.sendErrors.Load(),
		Ignored: Ignored{
			TooLong:            c.ignored[tooLong].Load(),
			Header:             c.ignored[badHeader].Load(),
			NotRequest:         c.ignored[notRequest].Load(),
			Attributes:         c.ignored[badAttributes].Load(),
			Software:           c.ignored[otherSoftware].Load(),
			FingerprintNotLast: c.ignored[fingerprintMoved].Load(),
			FingerprintValue:   c.ignored[badFingerprint].Load(),
		},
		NoLocalAddr:   c.noLocalAddr.Load(),
		ReceiveErrors: c.receiveErrors.Load(),
		Healthy:       r.config.Healthy(),
	}
}
