package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// engineRows are what the engine must reach beside derper, each also with the Go that builds derper.
func engineRows(hasEarlier bool) (rows []row) {
	rows = bothGo(
		loadRow("goodput", "goodput, 10 pairs, as fast as it goes", "Mbit/s", mark{limit: 61, atLeast: true, ratio: true}, "max", goodput))
	if hasEarlier {
		rows = append(rows, earlierRow())
	}
	rows = append(rows, bothGo(
		scaleRow(),
		loadRow("cpu-1g", "CPU per delivered packet, 1 Gbit/s, 16 packets per write", "us", mark{limit: 0.35, ratio: true}, "1g-16", cpu),
		loadRow("cpu-500m", "CPU per delivered packet, 500 Mbit/s, 1 packet per write", "us", mark{limit: 0.6, ratio: true}, "500m-1", cpu),
		loadRow("cpu-500pairs", "CPU per delivered packet, 50 Mbit/s over 500 pairs, 1 packet per write", "us", mark{limit: 0.6, ratio: true}, "50m-500", cpu))...)
	for _, quiet := range []struct {
		rate     int
		p50, p99 float64 // times derper's
		both     bool
	}{{100, 0.65, 0.65, true}, {250, 0.7, 0.5, false}, {500, 0.6, 0.4, true}} {
		text := fmt.Sprintf("RTT of a quiet pair beside %d Mbit/s, ", quiet.rate)
		pair := []row{
			loadRow(fmt.Sprintf("rtt-%d-p50", quiet.rate), text+"p50", "us", mark{limit: quiet.p50, ratio: true}, quietName(quiet.rate), quietP50),
			loadRow(fmt.Sprintf("rtt-%d-p99", quiet.rate), text+"p99", "us", mark{limit: quiet.p99, ratio: true}, quietName(quiet.rate), quietP99),
		}
		if quiet.both {
			pair = bothGo(pair...)
		}
		rows = append(rows, pair...)
	}
	return slices.Concat(rows, bothGo(fullEngine().rows()...))
}

// earlierRow compares with another build of ours, see -before.
func earlierRow() row {
	r := loadRow("goodput-before", "goodput, 10 pairs, as fast as it goes, beside the build before", "Mbit/s",
		mark{limit: 1.15, atLeast: true, ratio: true, reference: "the build before"}, "max", goodput)
	r.figures = func(found *results) (*float64, *float64) { return r.of(found, ours), r.of(found, earlier) }
	return r
}

// engineLoad is how large the trials of the engine are.
type engineLoad struct {
	crowd   int           // peers that log in, and stay
	remain  int           // of them, when the others have left
	settle  time.Duration // until memory is read
	flood   int           // peers that flood one
	bother  int           // peers that send what carries no packet
	starved int           // peers that read a little
	filling time.Duration // from when they are flooded until others are looked at
	warmup  time.Duration
	during  time.Duration // for which pairs are timed
}

func fullEngine() engineLoad {
	return engineLoad{crowd: crowdPeers(descriptors()), remain: 1000, settle: time.Minute, flood: 16, bother: 200, starved: 2000,
		filling: 10 * time.Second, warmup: time.Second}
}

const (
	wantedPeers = 20_000
	spareFiles  = 1200 // descriptors that a relay needs besides those of its peers: also for those who have not logged in yet
	floodedRate = 10e6 // bits per second, of the pair whose receiver is flooded
)

// crowdPeers is how many peers there can be, if a relay may have so many descriptors.
func crowdPeers(descriptors uint64) int {
	if descriptors < 2*spareFiles {
		return int(descriptors / 2)
	}
	return int(min(wantedPeers, descriptors-spareFiles))
}

// The trials of the engine.
const (
	beingFlooded  = "flood"
	beingBothered = "bother"
	beingStarved  = "starve"
	crowdLogin    = "login"
	crowdMemory   = "memory"
)

func (e engineLoad) trials() []trial {
	return []trial{
		{name: beingFlooded, measure: e.flooded}, {name: beingBothered, measure: e.bothered}, {name: beingStarved, measure: e.starve},
		{name: crowdLogin, measure: e.logins}, {name: crowdMemory, measure: e.memory},
	}
}

func (e engineLoad) rows() []row {
	flooded := fmt.Sprintf("a pair at 10 Mbit/s beside %d senders that flood its receiver: ", e.flood)
	bothered := fmt.Sprintf("a quiet pair beside %d peers that send empty and unknown frames, pings, empty messages and pings of WebSocket, as fast as they can: ", e.bother)
	starved := fmt.Sprintf("%d receivers that read a little, flooded with packets of 64 KiB: ", e.starved)
	logins := fmt.Sprintf("%d peers log in as fast as they can: ", e.crowd)
	return []row{
		trialRow("flood-lost", flooded+"lost", "%", mark{limit: 0.5}, beingFlooded, lostShare),
		trialRow("flood-p99", flooded+"p99", "ms", mark{limit: 5}, beingFlooded, p99MS),
		trialRow("bother-p99", bothered+"RTT, p99", "ms", mark{limit: 20}, beingBothered, p99MS),
		trialRow("bother-lost", bothered+"lost", "%", mark{}, beingBothered, lostShare),
		trialRow("starve-memory", starved+"resident memory at most", "MB", mark{limit: 300}, beingStarved, residentMB),
		trialRow("starve-p99", starved+"RTT of a quiet pair, p99", "ms", mark{limit: 20}, beingStarved, p99MS),
		trialRow("starve-lost", starved+"a quiet pair loses", "%", mark{}, beingStarved, lostShare),
		trialRow("login-time", logins+"time", "s", mark{limit: 0.8, ratio: true}, crowdLogin, tookS),
		trialRow("login-p99", logins+"RTT of a quiet pair meanwhile, p99", "ms", mark{limit: 0.5, ratio: true}, crowdLogin, p99MS),
		trialRow("memory-fresh", fmt.Sprintf("resident memory per idle TLS peer, %d peers", e.crowd), "KB", mark{limit: 8}, crowdMemory, freshKB),
		trialRow("memory-used", "the same when each has sent and received full-size records", "KB", mark{limit: 8.5}, crowdMemory, usedKB),
		trialRow("memory-back", fmt.Sprintf("of the memory of those who leave when %d of them stay, given back within a minute", e.remain), "%",
			mark{limit: 90, atLeast: true}, crowdMemory, backShare),
	}
}

// flooded has others flood the receiver of a pair.
func (e engineLoad) flooded(ctx context.Context, s *stage, kind relayKind) (figures, error) {
	relay, err := s.start(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer relay.stop()
	pair, err := startTimed(ctx, relay.addr.String())
	if err != nil {
		return nil, err
	}
	defer pair.end()
	crew, err := startCrew(ctx)
	if err != nil {
		return nil, err
	}
	defer crew.end()
	if _, err := crew.run(errand{Do: toFlood, Addr: relay.addr.String(), Peers: e.flood, To: pair.to.public}); err != nil {
		return nil, err
	}
	f, err := pair.measure(ctx, floodedRate, e.warmup, e.during)
	if err != nil {
		return nil, err
	}
	return f, crew.tellInto(f)
}

// besideQuiet has a crew run an errand, waits, and then times a quiet pair.
func (e engineLoad) besideQuiet(ctx context.Context, s *stage, kind relayKind, what errand, wait time.Duration) (figures, error) {
	relay, err := s.start(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer relay.stop()
	quiet, err := startQuiet(ctx, relay)
	if err != nil {
		return nil, err
	}
	defer quiet.end()
	crew, err := startCrew(ctx)
	if err != nil {
		return nil, err
	}
	defer crew.end()
	what.Addr = relay.addr.String()
	if _, err := crew.run(what); err != nil {
		return nil, err
	}
	if err := pause(ctx, wait); err != nil {
		return nil, err
	}
	quiet.forget()
	if err := pause(ctx, e.during); err != nil {
		return nil, err
	}
	f := figures{}
	if err := errors.Join(quiet.finish(f), crew.tellInto(f)); err != nil {
		return nil, err
	}
	f[residentMB], err = memoryMB(relay.cmd, "VmHWM")
	return f, err
}

func (e engineLoad) bothered(ctx context.Context, s *stage, kind relayKind) (figures, error) {
	return e.besideQuiet(ctx, s, kind, errand{Do: toBother, Peers: e.bother}, e.warmup)
}

func (e engineLoad) starve(ctx context.Context, s *stage, kind relayKind) (figures, error) {
	return e.besideQuiet(ctx, s, kind, errand{Do: toStarve, Peers: e.starved}, e.filling)
}

// logins has a crowd log in beside a quiet pair.
func (e engineLoad) logins(ctx context.Context, s *stage, kind relayKind) (figures, error) {
	relay, err := s.startForCrowd(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer relay.stop()
	crew, err := startCrew(ctx)
	if err != nil {
		return nil, err
	}
	defer crew.end()
	quiet, err := startQuiet(ctx, relay)
	if err != nil {
		return nil, err
	}
	f := figures{}
	a, err := crew.run(errand{Do: toJoin, Addr: relay.addr.String(), Peers: e.crowd})
	if err := errors.Join(err, quiet.finish(f)); err != nil {
		return nil, err
	}
	f[tookS], f["again"] = a.TookS, float64(a.Again)
	return f, nil
}

// memory follows the resident memory of a relay to which a crowd comes, sends, and of which most leave.
func (e engineLoad) memory(ctx context.Context, s *stage, kind relayKind) (figures, error) {
	relay, err := s.startForCrowd(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer relay.stop()
	crew, err := startCrew(ctx)
	if err != nil {
		return nil, err
	}
	defer crew.end()
	var mb [4]float64
	if mb[0], err = memoryMB(relay.cmd, "VmRSS"); err != nil {
		return nil, err
	}
	for i, what := range []errand{{Do: toJoin, Peers: e.crowd}, {Do: toExchange}, {Do: toLeave, Peers: e.remain}} {
		what.Addr = relay.addr.String()
		if _, err := crew.run(what); err != nil {
			return nil, err
		}
		if err := pause(ctx, e.settle); err != nil {
			return nil, err
		}
		if mb[i+1], err = memoryMB(relay.cmd, "VmRSS"); err != nil {
			return nil, err
		}
		talk("  %s: %.0f MB when told to %s\n", kind, mb[i+1], what.Do)
	}
	peers, leave := float64(e.crowd), float64(e.crowd-e.remain)
	f := figures{
		freshKB: (mb[1] - mb[0]) / peers * 1024, usedKB: (mb[2] - mb[0]) / peers * 1024,
		backShare: 100 * (mb[2] - mb[3]) / ((mb[2] - mb[0]) * leave / peers),
	}
	return f, crew.tellInto(f)
}

// startForCrowd starts a relay that keeps few of its descriptors for those who are about to log in.
func (s *stage) startForCrowd(ctx context.Context, kind relayKind) (*relay, error) {
	addr, err := freeAddr()
	if err != nil || kind == derper {
		return s.start(ctx, kind)
	}
	return s.startAt(ctx, kind, addr, s.dir, "--max-pending", fmt.Sprint(2*joinsAtOnce))
}

// tellInto adds what has become of the crew's peers.
func (c *crew) tellInto(f figures) error {
	a, err := c.run(errand{Do: toTell})
	f[endedConns] += float64(a.Ended)
	f[broken] += float64(a.Broken)
	return err
}
