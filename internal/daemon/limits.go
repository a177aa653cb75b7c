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

// inForce is what keys may use now, as /status shows it: the settings, unless the
// quota has made the total less.
func (b *budget) inForce() config.Limits {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.limits
	l.Total = config.Rate(limitRules(l, b.slow).Total)
	return l
}
