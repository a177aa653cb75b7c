package daemon

import (
	"path/filepath"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/history"
	"github.com/detour-relay/detour/relay"
)

// openHistory begins to count. The file is looked at by who writes it, beside the relay.
func (d *Daemon) openHistory(cfg config.Config) error {
	path, err := historyPath(cfg)
	if err != nil {
		return err
	}
	d.history = history.New(history.Config{Path: path, Off: cfg.History == config.HistoryOff, Look: d.reading, Logger: d.log})
	return nil
}

// historyPath is where the history is kept; empty: in memory, or not at all.
func historyPath(cfg config.Config) (string, error) {
	switch {
	case cfg.History == config.HistoryOff || cfg.History == "" && cfg.Dev:
		return "", nil
	case cfg.History != "":
		return cfg.History, nil
	}
	dir, err := stateDir(cfg)
	return filepath.Join(dir, "history.db"), err
}

func (d *Daemon) reloadHistory(from, to config.Config) (apply func(), err error) {
	if from.History == to.History {
		return nil, nil
	}
	path, err := historyPath(to)
	if err != nil {
		return nil, err
	}
	return func() { d.history.Update(path, to.History == config.HistoryOff) }, nil
}

// reading is what this process has counted up to now.
func (d *Daemon) reading() history.Reading {
	edge := d.edge.Snapshot()
	state := d.health.Snapshot()
	r := history.Reading{
		Relay: d.relay.Counters(), Ended: d.ended.Load(),
		Accepted: edge.Accepted, Rejected: edge.Rejected + edge.Full, Healthy: state.Healthy,
	}
	if check := state.SelfCheck; check != nil {
		r.Checks, r.ChecksFailed = check.Checks, check.FailedTotal
	}
	r.CPU, r.Memory = history.Process()
	return r
}

// hasEnded counts what a conn has used, and that it was there.
func (d *Daemon) hasEnded(p relay.PeerState) {
	if d.isOwn(&p) {
		return
	}
	d.ended.Add(1)
	d.hitters.Ended(p)
}

// users are the conns of others. The self-check has new keys each time, which would be
// thousands a day that nobody wants to see.
func (d *Daemon) users(yield func(relay.PeerState) bool) {
	for p := range d.relay.Peers {
		if !d.isOwn(&p) && !yield(p) {
			return
		}
	}
}

// isOwn reports whether a conn is the self-check's. Anybody may say that he is a prober.
func (d *Daemon) isOwn(p *relay.PeerState) bool { return p.Prober && d.own.know(p.Peer) }
