package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/quota"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/text"
	"github.com/detour-relay/detour/relay"
)

// A budget is what keys may use, what the month may cost, and what follows when it
// has cost more.
type budget struct {
	quota  *quota.Quota // set once
	drains atomic.Bool  // beyond the hard mark the peers are sent away

	mu     sync.Mutex
	limits config.Limits // guarded by mu, as all below: what the settings say
	then   config.Rate   // what is left to all beyond the hard mark; 0: the peers are sent away
	slow   config.Rate   // what the quota has left to all; 0: it leaves them alone
	leave  int           // peers that are sent away each second; 0: none are
}

// withinBudget lets nobody in while the month is used up, except the relay's own
// self-check.
func (d *Daemon) withinBudget(admit func(context.Context, relay.Applicant) (relay.Admission, error)) func(context.Context, relay.Applicant) (relay.Admission, error) {
	return func(ctx context.Context, a relay.Applicant) (relay.Admission, error) {
		if d.budget.usedUp() && !d.own.know(a.Peer) {
			return relay.Admission{}, relay.ErrQuota
		}
		return admit(ctx, a)
	}
}

// openBudget has the relay keep to its limits and its quota.
func (d *Daemon) openBudget(cfg config.Config) error {
	path := ""
	if !cfg.Dev {
		dir, err := stateDir(cfg)
		if err != nil {
			return err
		}
		path = filepath.Join(dir, "quota.json")
	}
	settings, err := quotaSettings(cfg.Quota)
	if err != nil {
		return err
	}
	d.budget.limits, d.budget.then = cfg.Limits, cfg.Quota.Slow()
	d.budget.drains.Store(d.budget.then == 0)
	d.relay.SetLimits(limitRules(cfg.Limits, 0))
	d.budget.quota = quota.New(quota.Config{
		Settings: settings, Path: path, Usage: d.usage, Each: d.followQuota, Logger: d.log,
		Relay: cmp.Or(cfg.Hostname, d.relay.PublicKey().Short()),
	})
	return nil
}

// quotaSettings are the settings as package quota has them. A file with the webhook's
// URL is read each time it is told something, and once now.
func quotaSettings(q config.Quota) (quota.Settings, error) {
	s := quota.Settings{
		Soft: int64(q.Soft), Hard: int64(q.Hard), Day: max(1, q.Day),
		In: q.Count != config.CountOut, Out: q.Count != config.CountIn,
	}
	if q.Webhook == "" {
		return s, nil
	}
	s.Webhook = func() (string, error) { return q.Webhook, nil }
	if file := q.WebhookFile(); file != "" {
		s.Webhook = func() (string, error) { return webhookURL(file) }
	}
	if _, err := s.Webhook(); err != nil {
		return s, &config.Error{Setting: "quota.webhook", Err: err}
	}
	return s, nil
}

// webhookURL reads the URL that a file has. Its errors do not have it.
func webhookURL(file string) (string, error) {
	data, err := smallfile.Read(file, 16<<10)
	if err == nil {
		data, err = text.Decode(data)
	}
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(data))
	u, err := url.Parse(line)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(line, " \n") {
		return "", fmt.Errorf("%s has no URL: want one line that begins with https://", file)
	}
	return line, nil
}

// usage is what this process has relayed, in whole frames.
func (d *Daemon) usage() quota.Usage {
	c := d.relay.Counters()
	const frame, forwarded = 5 + 32, 32 // the second key
	whole := func(k relay.ByKind, relayed uint64) uint64 {
		return k.Disco.Bytes + k.Other.Bytes + frame*(k.Disco.Packets+k.Other.Packets) + forwarded*relayed
	}
	return quota.Usage{In: whole(c.Received, c.ForwardedIn), Out: whole(c.Sent, c.ForwardedOut)}
}

// usedUp reports whether the relay wants no peers until the month is over. It is quick.
func (b *budget) usedUp() bool { return b.drains.Load() && b.quota.Over() }

// snapshot is what /status shows; nil without a quota.
func (b *budget) snapshot() *quota.Snapshot {
	s := b.quota.Snapshot()
	if s.State == quota.Off {
		return nil
	}
	return &s
}

// whyUsedUp says so for people.
func (b *budget) whyUsedUp() string {
	s := b.quota.Snapshot()
	return fmt.Sprintf("%s of %s are used; the relay serves again from %s on, or when the mark is raised",
		about(s.Used), config.Size(s.Hard), s.ResetsAt.Format(time.RFC3339))
}

// about is a size in three digits or so.
func about(bytes int64) config.Size {
	unit := int64(1)
	for bytes/unit >= 1000 {
		unit *= 10
	}
	return config.Size(bytes / unit * unit)
}

// followQuota is called every second. Beyond the hard mark it slows the relay down, or
// sends some of its peers away; siblings stay.
func (d *Daemon) followQuota(over bool) {
	b := &d.budget
	b.mu.Lock()
	slow := config.Rate(0)
	if over {
		slow = b.then
	}
	if b.slow != slow {
		b.slow = slow
		d.relay.SetLimits(limitRules(b.limits, slow))
	}
	leave := over && b.then == 0
	switch {
	case !leave:
		b.leave = 0
	case b.leave == 0:
		seconds := int(time.Duration(d.Config().Drain) / time.Second)
		b.leave = max(1, (d.edge.Conns()+seconds)/max(1, seconds))
		d.log.Warn("the month is used up: peers are sent away", "conns", d.edge.Conns(), "drain", d.Config().Drain.String())
	}
	atOnce := b.leave
	b.mu.Unlock()
	if leave {
		d.relay.Close(func(p relay.PeerState) bool { return !p.Sibling && !d.own.know(p.Peer) }, relay.ErrQuota, atOnce)
	}
}

// reloadBudget takes other limits and another quota over.
func (d *Daemon) reloadBudget(_, to config.Config) (apply func(), err error) {
	settings, err := quotaSettings(to.Quota)
	if err != nil {
		return nil, err
	}
	return func() {
		b := &d.budget
		b.mu.Lock()
		b.limits, b.then = to.Limits, to.Quota.Slow()
		b.drains.Store(b.then == 0)
		d.relay.SetLimits(limitRules(b.limits, b.slow))
		b.mu.Unlock()
		b.quota.Update(settings)
	}, nil
}
