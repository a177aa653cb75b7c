package relaytest

import (
	"fmt"

	"github.com/detour-relay/detour/relay"
)

// Sums returns what is wrong with the sums of a snapshot taken while no packet
// was under way: each kind's packets and bytes must be accounted for.
func Sums(s relay.Survey) (problems []string) {
	var lost relay.ByKind
	for _, of := range s.Dropped {
		lost.Disco = plus(lost.Disco, of.Disco)
		lost.Other = plus(lost.Other, of.Other)
	}
	disco := missing(s.Received.Disco, s.Sent.Disco, lost.Disco)
	other := missing(s.Received.Other, s.Sent.Other, lost.Other)
	if disco.Packets+other.Packets != s.Queued {
		problems = append(problems, fmt.Sprintf(
			"sums: of %d packets received, %d are neither sent, dropped nor queued (%+v)",
			s.Received.Disco.Packets+s.Received.Other.Packets, disco.Packets+other.Packets-s.Queued, s))
	}
	if disco.Packets < 0 || other.Packets < 0 || disco.Bytes < 0 || other.Bytes < 0 {
		problems = append(problems, fmt.Sprintf("sums: more left than came: disco %+v, other %+v", disco, other))
	}
	if s.Queued == 0 && (disco != balance{} || other != balance{}) {
		problems = append(problems, fmt.Sprintf("sums: nothing is queued, but missing are disco %+v, other %+v", disco, other))
	}
	return problems
}

// Remains returns the gauges of a snapshot that are not zero, as they have to be
// once all conns are gone.
func Remains(s relay.Survey) (problems []string) {
	for name, gauge := range map[string]int64{
		"Conns": s.Conns, "Peers": s.Peers, "Homes": s.Homes, "NotIdeal": s.NotIdeal,
		"Watchers": s.Watchers, "RemotePeers": s.RemotePeers, "Links": int64(len(s.Links)), "DupKeys": s.DupKeys, "DupConns": s.DupConns, "Queued": s.Queued,
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
