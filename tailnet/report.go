package tailnet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/retry"
)

const (
	// reportTime is how long a home report waits to be taken before it is told as failed
	// to the Host, which has a newer home meanwhile, or comes again.
	reportTime = 10 * time.Second

	lostTime  = 30 * time.Second
	mostBoots = 4       // times in a row that another one's boot is taken over
	mostBoot  = 1 << 60 // what a coordinator may say that the boot is
)

// reports is where we are, and who knows. It is guarded by Member.mu.
type reports struct {
	boot, seq uint64
	connected bool // a stream is open: there is somebody to ask

	home   int    // of the Host; 0: it has none yet, so nothing is reported
	wanted uint64 // counts the reasons to report
	taken  uint64 // up to which of them a coordinator knows
	failed uint64 // attempts without success
	retry  retry.Backoff
	until  time.Time // a coordinator asks not to be told before
	lost   time.Time // when it was last said again because the tailnet had another home
}

// wantLocked notes a reason to report.
func (r *reports) wantLocked(m *Member) {
	if r.home == 0 {
		return
	}
	r.wanted++
	if m.state.ReportPending.IsZero() {
		m.state.ReportPending = time.Now()
	}
	wake(m.due)
}

// connectedLocked is for a new stream: the home is said again in any case, since nobody
// knows what this coordinator has.
func (r *reports) connectedLocked(m *Member) {
	r.connected = true
	r.retry, r.until = retry.Backoff{First: time.Second, Most: time.Minute}, time.Time{}
	r.wantLocked(m)
}

// selfLocked is for what the tailnet has of us: if that is not our home, it has lost it.
// Of two machines with one key neither may answer each report of the other.
func (r *reports) selfLocked(m *Member, home int) {
	m.homeLocked(home)
	if r.taken == r.wanted && home != r.home && !m.state.Conflict && time.Since(r.lost) >= lostTime {
		r.lost = time.Now()
		r.wantLocked(m)
	}
}

// homeLocked notes which home of ours the coordinators have.
func (m *Member) homeLocked(home int) {
	if m.state.Home != home {
		m.state.Home = home
		m.changedLocked()
	}
}

// reportHome is HostConfig.ReportHome. It returns nil when a coordinator has the home.
func (m *Member) reportHome(ctx context.Context, home client.Home) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reportTime, errors.New("the coordinator has not taken the report yet"))
	defer cancel()
	wanted, failed := m.setHome(home.Region)
	for {
		news := m.reported.Wait()
		done, err := m.isReported(wanted, failed)
		if done {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-m.ctx.Done():
			return ErrClosed
		}
	}
}

func (m *Member) setHome(region int) (wanted, failed uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reports.home != region {
		m.reports.home = region
		m.reports.wantLocked(m)
	}
	wake(m.due) // or the home that was refused comes again
	return m.reports.wanted, m.reports.failed
}

// isReported reports whether it is settled what became of a report.
func (m *Member) isReported(wanted, failed uint64) (done bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &m.reports
	switch {
	case r.taken >= wanted:
		return true, nil
	case !r.connected:
		return true, ErrAway
	case r.failed != failed:
		return true, m.state.ReportErr
	}
	return false, nil
}

// keepReporting reports whenever there is a reason, and again after a failure.
func (m *Member) keepReporting() {
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-m.due:
		case <-again.C:
		case <-m.ctx.Done():
			return
		}
		if wait := m.reportIfDue(); wait > 0 {
			again.Reset(wait)
		}
	}
}

// reportIfDue reports, and returns when to try again; 0: there is no reason to.
func (m *Member) reportIfDue() (wait time.Duration) {
	before := m.State().Conflict
	wait = m.reportOnce()
	if m.State().Conflict && !before {
		m.log.Warn("another machine reports with the key of this member")
		m.tell(Event{Type: HasRival})
	}
	return wait
}

func (m *Member) reportOnce() (wait time.Duration) {
	m.mu.Lock()
	r := &m.reports
	if !r.connected || r.taken == r.wanted {
		m.mu.Unlock()
		return 0
	}
	if wait := time.Until(r.until); wait > 0 {
		m.mu.Unlock()
		return wait
	}
	wanted, home := r.wanted, r.home
	m.mu.Unlock()

	stored, err := m.report(home)

	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.reported.Send()
	if m.state.ReportErr = err; err != nil {
		r.failed++
		r.until = time.Now().Add(retryAfter(err))
		return max(r.retry.Next(), retryAfter(err))
	}
	r.taken = wanted
	r.retry.Reset()
	m.homeLocked(home)
	m.state.Conflict = stored.Conflict
	if r.wanted == wanted {
		m.state.ReportPending = time.Time{}
	} else {
		wake(m.due)
	}
	return 0
}

// report tells the coordinator of the stream, or if that cannot write, another one.
func (m *Member) report(home int) (stored coordapi.Stored, err error) {
	for _, c := range m.fromCurrent() {
		stored, err = m.reportTo(c, home)
		if err == nil || final(err) || m.ctx.Err() != nil {
			return stored, err
		}
	}
	return stored, err
}

// fromCurrent returns the coordinators, the one that was asked last first.
func (m *Member) fromCurrent() []*contact {
	current := m.State().Coordinator
	at := max(0, slices.IndexFunc(m.contacts, func(c *contact) bool { return c.URL == current }))
	return append(slices.Clone(m.contacts[at:]), m.contacts[:at]...)
}

// reportTo numbers the report. If the coordinators have a higher boot than ours, our state
// file is an old one that was put back: we take over theirs, and go on from there.
func (m *Member) reportTo(c *contact, home int) (stored coordapi.Stored, err error) {
	for range mostBoots {
		r := m.nextReport(home)
		err = m.asMember(m.ctx, c, func(token string) error {
			return c.call(m.ctx, http.MethodPut, coordapi.PathSelf, token, r, &stored)
		})
		no, ok := errors.AsType[*refusal](err)
		if !ok || no.Code != coordapi.CodeStale {
			return stored, err
		}
		if no.Boot < r.Boot || no.Boot > mostBoot {
			return stored, fmt.Errorf("%w (it has boot %d, and was told %d)", err, no.Boot, r.Boot)
		}
		m.skipBoots(no.Boot)
	}
	return stored, err
}

func (m *Member) nextReport(home int) coordapi.Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reports.seq++
	return coordapi.Report{Boot: m.reports.boot, Seq: m.reports.seq, Home: home, Disco: m.cfg.Disco, Version: m.cfg.Version}
}

func (m *Member) skipBoots(theirs uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reports.boot, m.reports.seq = theirs+1, 0
	m.changedLocked()
}
