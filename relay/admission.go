package relay

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// An Applicant is a peer that has proven its key and waits for admission.
type Applicant struct {
	Peer key.Public
	Addr netip.AddrPort // zero if unknown
	Info derp.ClientInfo
}

// An Admission is as what a peer comes in.
type Admission struct {
	// Group names those who are counted together, such as a tenant; empty: none.
	Group string

	// Limits are what the peer may use, instead of those that SetLimits says. Zero: what
	// SetLimits says; a negative rate: no limit.
	Limits Limits

	// Until is when the admission ends: the conn is closed then, at most a second
	// later. Zero: never.
	Until time.Time
}

// admit asks whether the peer of a login may come in. It holds one of the places
// of AdmitPending until the callback returns.
func (l *login) admit(ctx context.Context, a Applicant) (Admission, error) {
	s := l.server
	defer s.asking.Add(-1)
	if s.asking.Add(1) > int64(s.cfg.AdmitPending) {
		return Admission{}, ErrAdmitBusy
	}
	begun := time.Now()
	admission, err := s.cfg.Admit(ctx, a)
	s.count.admissionTime.Add(int64(time.Since(begun)), 1)
	if err != nil {
		return Admission{}, fmt.Errorf("%w: %w", cmp.Or(timeoutOf(ctx), ErrNotAdmitted), err)
	}
	return admission, nil
}

// timeoutOf returns ErrAdmitTimeout if ctx ended for it, else nil.
func timeoutOf(ctx context.Context) error {
	if context.Cause(ctx) == ErrAdmitTimeout {
		return ErrAdmitTimeout
	}
	return nil
}
