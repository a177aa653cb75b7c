package main

import (
	"context"
	"slices"
)

// other is a measurement that is no load from `detour bench`. Its name is its identity in what rows need and in what is missing.
type other struct {
	name    string
	measure func(context.Context) error
}

// The names of the others.
const (
	profiling         = "profile"
	goBenching        = "go benchmarks"
	downloading       = "download"
	downloadingSameGo = "download: derper's Go"
	presenceTold      = "presence"
	restarting        = "restarts"
	killing           = "kills"
	losingFirst       = "losses"
	stunAnswering     = "STUN"
	nodesIdling       = "nodes"
	netchecking       = "netcheck"
	tunnelCarries     = "tunnels"
	tunnelStarts      = "tunnels: starts"
	tunnelLaptops     = "tunnels: interfaces"
	tunnelMemory      = "tunnels: memory"
	tunnelStalls      = "tunnels: stalls"
)

// others are all of them, in the order in which they are made. What they find they put into r.
func (s *stage) others(r *results) []other {
	return slices.Concat([]other{
		{profiling, into(&r.Profile, s.profile)},
		{goBenching, into(&r.InGo, s.goBenchmarks)},
		{downloading, into(&r.Download, s.downloadBy(ours))},
		{downloadingSameGo, into(&r.DownloadSameGo, s.downloadBy(sameGo))},
		{presenceTold, into(&r.Presence, s.presences)},
		{restarting, into(&r.Restarts, s.restart)},
		{killing, into(&r.Kills, s.kill)},
		{losingFirst, into(&r.Losses, s.losses)},
		{stunAnswering, into(&r.STUN, s.stunAnswers)},
		{netchecking, into(&r.Netcheck, s.netchecks)},
		{nodesIdling, into(&r.Nodes, s.nodes)},
	}, s.engineTrials(r), s.frontDoors(r), s.coordinations(r), s.tunnelMeasurements(r))
}

// into makes a measurement that puts what it finds into a place of the results.
func into[T any](found *T, measure func(context.Context) (T, error)) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		*found, err = measure(ctx)
		return err
	}
}

// attempt notes why something could not be measured, for the rows that wait for it.
func (o other) attempt(ctx context.Context, r *results) {
	talk("%s\n", o.name)
	if err := o.measure(ctx); err != nil {
		r.Missing[o.name] = err
		talk("  not measured: %v\n", err)
	}
}
