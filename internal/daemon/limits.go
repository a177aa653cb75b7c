package daemon

import (
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/relay"
)

// limitRules are the settings as the engine has them. Slow is the rate that the quota
// leaves to all; 0: it leaves them alone.
func limitRules(l config.Limits, slow config.Rate) relay.LimitRules {
	rules := relay.LimitRules{
		Keys:   relay.Limits{In: int64(l.In), Out: int64(l.Out), Burst: int64(l.Burst)},
		Groups: make(map[string]relay.Limits, len(l.Labels)),
		Total:  int64(l.Total),
	}
	for label, of := range l.Labels {
		rules.Groups[label] = relay.Limits{In: int64(of.In), Out: int64(of.Out), Burst: int64(of.Burst)}
	}
	if slow > 0 && (rules.Total == 0 || rules.Total > int64(slow)) {
		rules.Total = int64(slow)
	}
	return rules
}

// useLimits has everybody follow the settings and the quota.
func (d *Daemon) useLimits(l config.Limits) {
	d.limiting.Lock()
	defer d.limiting.Unlock()
	d.limits = l
	d.relay.SetLimits(limitRules(l, d.slow))
}

// slowDown makes a rate the total, if it is less; 0: what the settings say.
func (d *Daemon) slowDown(to config.Rate) {
	d.limiting.Lock()
	defer d.limiting.Unlock()
	if d.slow != to {
		d.slow = to
		d.relay.SetLimits(limitRules(d.limits, to))
	}
}

// reloadLimits takes other limits over.
func (d *Daemon) reloadLimits(_, to config.Config) (apply func(), err error) {
	return func() { d.useLimits(to.Limits) }, nil
}
