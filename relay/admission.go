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

	// Limits are told to the peer.
	Limits Limits

	// Until is when the admission ends: the conn is closed then, at most a second
	// later. Zero: never.
	Until time.Time
}

// Limits say how fast a peer may send. The relay tells the peer, which keeps to
// them if it is honest: what does not fit it drops itself (spec 7.6). The relay
// does not enforce them.
type Limits struct {
	// BytesPerSecond counts whole frames; 0: no limit.
	BytesPerSecond int

	// Burst is how many bytes may go out at once after a rest; at least one largest
	// frame, 65,573 bytes.
	Burst int
}

// smallestBurst lets every packet pass at some time.
const smallestBurst = derp.HeaderLen + derp.KeyLen + derp.MaxPacket

// serverInfo is what the peer is told.
func (a *Admission) serverInfo() derp.ServerInfo {
	info := derp.ServerInfo{Version: derp.ProtocolVersion}
	if a.Limits.BytesPerSecond > 0 {
		info.TokenBucketBytesPerSecond = a.Limits.BytesPerSecond
		info.TokenBucketBytesBurst = max(a.Limits.Burst, smallestBurst)
	}
	return info
}

// admit asks whether the peer of a login may come in. It holds one of the places
// of AdmitPending until the callback returns.
func (l *login) admit(ctx context.Context, a Applicant) (Admission, error) {
	s := l.server
	defer s.asking.Add(-1)
	if s.asking.Add(1) > int64(s.cfg.AdmitPending) {
		return Admission{}, ErrAdmitBusy
	}
	admission, err := s.cfg.Admit(ctx, a)
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
