package relaytest

import (
	"fmt"

	"github.com/detour-relay/detour/relay"
)

// Sums returns what is wrong with the sums of a snapshot taken while no packet
// was under way: each kind's packets and bytes must be accounted for.
func Sums(s relay.Survey, queued int64) (problems []string) {
	var lost relay.ByKind
	for _, of := range s.Dropped {
		lost.Disco = plus(lost.Disco, of.Disco)
		lost.Other = plus(lost.Other, of.Other)
	}
	disco := missing(s.Received.Disco, s.Sent.Disco, lost.Disco)
	other := missing(s.Received.Other, s.Sent.Other, lost.Other)
	if disco.Packets+other.Packets != queued || s.Queued != queued {
		problems = append(problems, fmt.Sprintf(
			"sums: of %d packets received, %d are neither sent, dropped nor among %d that wait (%+v)",
			s.Received.Disco.Packets+s.Received.Other.Packets, disco.Packets+other.Packets-queued, queued, s))
	}
	if disco.Packets < 0 || other.Packets < 0 || disco.Bytes < 0 || other.Bytes < 0 {
		problems = append(problems, fmt.Sprintf("sums: more left than came: disco %+v, other %+v", disco, other))
	}
	if queued == 0 && (disco != balance{} || other != balance{}) {
		problems = append(problems, fmt.Sprintf("sums: nothing is queued, but missing are disco %+v, other %+v", disco, other))
	}
	in, out := plus(s.Received.Disco, s.Received.Other).Packets, plus(s.Sent.Disco, s.Sent.Other).Packets
	if s.BurstPackets.Sum != float64(in) || values(s.OutboxTime) != out || s.FlushFrames.Sum < float64(out) {
		problems = append(problems, fmt.Sprintf("sums: the histograms do not fit %d packets received and %d sent: %+v, %+v, %+v", in, out, s.BurstPackets, s.OutboxTime, s.FlushFrames))
	}
	return problems
}

// Accounts checks the sums over all conns that are here or have ended.
func Accounts(s relay.Survey, conns []relay.PeerState) (problems []string) {
	var in, out, lost relay.Traffic
	for _, p := range conns {
		in = plus(in, relay.Traffic{Packets: p.ReceivedPackets, Bytes: p.Received})
		out = plus(out, relay.Traffic{Packets: p.SentPackets, Bytes: p.Sent})
		lost = plus(lost, p.Dropped)
		if p.Waited < 0 || p.SentPackets == 0 && p.Waited != 0 {
			problems = append(problems, fmt.Sprintf("accounts: %d packets to %v waited for %v", p.SentPackets, p.Peer, p.Waited))
		}
	}
	if want := plus(s.Received.Disco, s.Received.Other); in != want {
		problems = append(problems, fmt.Sprintf("accounts: conns have brought %+v, received is %+v", in, want))
	}
	// What is being written is in the account, and still among what waits.
	want := plus(s.Sent.Disco, s.Sent.Other)
	writing := out.Packets - (want.Packets - s.ForwardedOut)
	if writing > uint64(s.Queued) || s.ForwardedOut == 0 && writing == 0 && out != want {
		problems = append(problems, fmt.Sprintf("accounts: conns were sent %+v, sent is %+v, %d packets of them to siblings", out, want, s.ForwardedOut))
	}
	var dropped relay.Traffic // for somebody
	for reason, of := range s.Dropped {
		if reason != "unknown_dest" && reason != "unknown_dest_on_fwd" && reason != "dup_client" {
			dropped = plus(dropped, plus(of.Disco, of.Other))
		}
	}
	// What comes too late for a conn is in no account.
	late := plus(s.Dropped["gone_disconnected"].Disco, s.Dropped["gone_disconnected"].Other)
	if lost.Packets > dropped.Packets || lost.Bytes > dropped.Bytes || s.LinkTries == 0 && lost.Packets+late.Packets < dropped.Packets {
		problems = append(problems, fmt.Sprintf("accounts: conns have lost %+v, dropped are %+v", lost, dropped))
	}
	return problems
}

// values returns how many a histogram has.
func values(h relay.Histogram) (n uint64) {
	for _, of := range h.Counts {
		n += of
	}
	return n
}

// Remains returns the gauges of a snapshot that are not zero, as they have to be
// once all conns are gone.
func Remains(s relay.Survey) (problems []string) {
	for name, gauge := range map[string]int64{
		"Conns": s.Conns, "Peers": s.Peers, "Homes": s.Homes, "NotIdeal": s.NotIdeal,
		"Watchers": s.Watchers, "RemotePeers": s.RemotePeers, "Links": int64(len(s.Links)), "DupKeys": s.DupKeys, "DupConns": s.DupConns, "Queued": s.Queued, "OutboxBytes": s.OutboxBytes,
	} {
		if gauge != 0 {
			problems = append(problems, fmt.Sprintf("gauge %s is %d with all conns gone", name, gauge))
		}
	}
	if ended := total(s.Ended); ended != s.Accepts {
		problems = append(problems, fmt.Sprintf("%d conns were accepted, but %d ended", s.Accepts, ended))
	}
	if ended := total(s.LinksEnded); ended != s.LinkTries {
		problems = append(problems, fmt.Sprintf("%d links were tried, but %d ended", s.LinkTries, ended))
	}
	return problems
}

func total(byReason map[string]uint64) (n uint64) {
	for _, of := range byReason {
		n += of
	}
	return n
}

// A balance is what came in and did not leave.
type balance struct{ Packets, Bytes int64 }

func missing(in, out, lost relay.Traffic) balance {
	return balance{
		Packets: int64(in.Packets - out.Packets - lost.Packets),
		Bytes:   int64(in.Bytes - out.Bytes - lost.Bytes),
	}
}

func plus(a, b relay.Traffic) relay.Traffic {
	return relay.Traffic{Packets: a.Packets + b.Packets, Bytes: a.Bytes + b.Bytes}
}
