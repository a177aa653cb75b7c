package admin

import (
	"maps"
	"slices"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/numbers"
	"github.com/detour-relay/detour/relay"
)

// The table is made of package numbers.
type (
	// A Metric is one number of a relay, or one for each value of a label.
	Metric = numbers.Metric[Status]

	// A Sum holds between numbers whenever nothing is under way.
	Sum = numbers.Sum[Status]
)

// Metrics lists every number of a Status once. A part that a relay does not have,
// such as STUN, has no values.
var Metrics = slices.Concat(healthMetrics, relayMetrics, histograms, accessMetrics, quotaMetrics, historyMetrics, edgeMetrics, stunMetrics, certificateMetrics, controlMetrics, scrapeMetrics, processMetrics)

var healthMetrics = []Metric{
	gauge("healthy", "", "1 if the relay wants peers", func(s *Status) float64 { return truth(s.Health.Healthy) }),
	gauge("full", "", "1 if the relay turns connections away because it has as many as it may, or did a moment ago", func(s *Status) float64 { return truth(s.Health.Full) }),
	gauge("draining", "", "1 if the relay sends its peers away", func(s *Status) float64 { return truth(s.Draining) }),
	ofSelfCheck(gauge("selfcheck_took", "seconds", "the last self-check", func(s *Status) float64 { return s.Health.SelfCheck.TookMS / 1e3 })),
	ofSelfCheck(gauge("selfcheck_failures", "", "self-checks that failed in a row, up to now", func(s *Status) float64 { return float64(s.Health.SelfCheck.Failures) })),
	ofSelfCheck(counter("selfchecks", "self-checks", func(s *Status) uint64 { return s.Health.SelfCheck.Checks })),
	ofSelfCheck(counter("selfchecks_failed", "self-checks that failed", func(s *Status) uint64 { return s.Health.SelfCheck.FailedTotal })),
	ofSelfCheck(counter("selfchecks_direct", "self-checks of the listener", func(s *Status) uint64 { return s.Health.SelfCheck.DirectTotal })),
	ofSelfCheck(counter("selfcheck_outages", "times that self-checks took the relay out of service", func(s *Status) uint64 { return s.Health.SelfCheck.OutagesTotal })),
}

var relayMetrics = []Metric{
	counter("accepts", "streams that peers and siblings opened", func(s *Status) uint64 { return s.Relay.Accepts }),
	gauge("admitting", "", "logins that wait for the answer whether they may come in", func(s *Status) float64 { return float64(s.Relay.Admitting) }),
	gauge("conns", "", "connections of peers and siblings that have logged in", func(s *Status) float64 { return float64(s.Relay.Conns) }),
	gauge("peers", "", "keys that are connected", func(s *Status) float64 { return float64(s.Relay.Peers) }),
	gauge("homes", "", "connections that call this relay their home", func(s *Status) float64 { return float64(s.Relay.Homes) }),
	gauge("not_ideal", "", "connections that would rather be at another relay of the region", func(s *Status) float64 { return float64(s.Relay.NotIdeal) }),
	gauge("watchers", "", "siblings that watch who is connected", func(s *Status) float64 { return float64(s.Relay.Watchers) }),
	gauge("remote_peers", "", "keys that only siblings have", func(s *Status) float64 { return float64(s.Relay.RemotePeers) }),
	counter("wrong_mesh_keys", "logins with a mesh key that is not ours", func(s *Status) uint64 { return s.Relay.WrongMeshKeys }),
	counter("link_tries", "streams opened to siblings", func(s *Status) uint64 { return s.Relay.LinkTries }),
	gauge("dup_keys", "", "keys that are connected more than once", func(s *Status) float64 { return float64(s.Relay.DupKeys) }),
	gauge("dup_conns", "", "connections of keys that are connected more than once", func(s *Status) float64 { return float64(s.Relay.DupConns) }),
	counter("dup_conns_met", "connections that met another of their key", func(s *Status) uint64 { return s.Relay.DupConnsTotal }),
	counter("home_moves_in", "connections that made this relay their home later on", func(s *Status) uint64 { return s.Relay.HomeMovesIn }),
	counter("home_moves_out", "connections that gave this relay up as their home", func(s *Status) uint64 { return s.Relay.HomeMovesOut }),
	packets("received_packets", "packets from peers and siblings", func(s *Status) relay.ByKind { return s.Relay.Received }),
	bytes("received_bytes", "payload of packets from peers and siblings", func(s *Status) relay.ByKind { return s.Relay.Received }),
	counter("forwarded_in", "packets from siblings", func(s *Status) uint64 { return s.Relay.ForwardedIn }),
	packets("sent_packets", "packets to peers and siblings", func(s *Status) relay.ByKind { return s.Relay.Sent }),
	bytes("sent_bytes", "payload of packets to peers and siblings", func(s *Status) relay.ByKind { return s.Relay.Sent }),
	counter("forwarded_out", "packets to siblings", func(s *Status) uint64 { return s.Relay.ForwardedOut }),
	dropped("dropped_packets", "", "packets given up, by reason", func(k relay.ByKind) uint64 { return k.Other.Packets }),
	dropped("dropped_bytes", "bytes", "payload of packets given up, by reason", func(k relay.ByKind) uint64 { return k.Other.Bytes }),
	dropped("dropped_disco_packets", "", "disco packets given up, by reason", func(k relay.ByKind) uint64 { return k.Disco.Packets }),
	dropped("dropped_disco_bytes", "bytes", "payload of disco packets given up, by reason", func(k relay.ByKind) uint64 { return k.Disco.Bytes }),
	gauge("outbox_bytes", "bytes", "memory of what waits for peers and siblings that are behind", func(s *Status) float64 { return float64(s.Relay.OutboxBytes) }),
	gauge("outbox_limit_bytes", "bytes", "what that may be (outbox-memory); 0: as much as they like", func(s *Status) float64 { return float64(s.Relay.OutboxMemory) }),
	gauge("queued", "", "packets that wait to be sent", func(s *Status) float64 { return float64(s.Relay.Queued) }),
	counter("pings", "pings of peers", func(s *Status) uint64 { return s.Relay.Pings }),
	counter("pongs", "answers to our pings", func(s *Status) uint64 { return s.Relay.Pongs }),
	counter("keep_alives", "keep-alives sent", func(s *Status) uint64 { return s.Relay.KeepAlives }),
	byReason("peer_gone", "news that a peer is gone, by reason", func(s *Status) map[string]uint64 { return s.Relay.PeerGone }),
	counter("unknown_frames", "frames of an unknown type", func(s *Status) uint64 { return s.Relay.UnknownFrames }),
	byReason("ended", "connections and logins that ended, by reason", func(s *Status) map[string]uint64 { return s.Relay.Ended }),
	byReason("links_ended", "links that ended, by reason", func(s *Status) map[string]uint64 { return s.Relay.LinksEnded }),
	limited("limited_bursts", "", "bursts after which a peer was not read for a while, by what was used up; nothing: they brought no packet", func(l relay.Limited) float64 { return float64(l.Bursts) }),
	limited("limited_bytes", "bytes", "what these bursts brought", func(l relay.Limited) float64 { return float64(l.Bytes) }),
	limited("limited_time", "seconds", "how long peers were not read for that, all together", func(l relay.Limited) float64 { return float64(l.MS) / 1e3 }),
	gauge("links", "", "links to siblings that are up", func(s *Status) float64 { return float64(len(s.Relay.Links)) }),
	gauge("siblings", "", "siblings that there should be links to, without this relay itself and those that are known by another name", func(s *Status) float64 { all, _ := siblings(s); return float64(all) }),
	gauge("siblings_away", "", "of these, siblings without a link now", func(s *Status) float64 { _, away := siblings(s); return float64(away) }),
	gauge("groups", "", "groups of peers that have connections", func(s *Status) float64 { return float64(len(s.Relay.Groups)) }),
}

var edgeMetrics = []Metric{
	counter("tcp_accepted", "connections taken from the listener", func(s *Status) uint64 { return s.Edge.Accepted }),
	counter("tcp_accept_errors", "connections that could not be taken: no descriptors, no memory", func(s *Status) uint64 { return s.Edge.AcceptErrors }),
	counter("tcp_rejected", "connections closed at once, over the limit", func(s *Status) uint64 { return s.Edge.Rejected }),
	counter("tcp_full", "connections closed at once, for there are as many as may be", func(s *Status) uint64 { return s.Edge.Full }),
	counter("pending_greedy", "connections closed for what they had others hold before they logged in", func(s *Status) uint64 { return s.Edge.Greedy }),
	gauge("pending", "", "connections that have not become those of a peer yet", func(s *Status) float64 { return float64(s.Edge.Pending) }),
	counter("pending_evicted", "connections closed as the oldest of too many pending ones", func(s *Status) uint64 { return s.Edge.Evicted }),
	counter("pending_expired", "connections closed because they were pending for too long", func(s *Status) uint64 { return s.Edge.Expired }),
	by("version", "tls_handshakes", "TLS handshakes completed, by version", func(s *Status) map[string]uint64 {
		return map[string]uint64{"1.2": s.Edge.TLS12, "1.3": s.Edge.TLS13}
	}),
	byReason("tls_failures", "TLS handshakes that came to nothing, by reason", func(s *Status) map[string]uint64 {
		f := s.Edge.HandshakeFailures
		return map[string]uint64{"timeout": f.Timeout, "left": f.Left, "not_tls": f.NotTLS, "alert": f.Alert, "mismatch": f.Mismatch, "cut": f.Cut}
	}),
	by("way", "upgrades", "connections that became those of a peer, by way", func(s *Status) map[string]uint64 {
		return map[string]uint64{"classic": s.Edge.Classic, "fast_start": s.Edge.FastStart, "websocket": s.Edge.WebSocket}
	}),
	byReason("proxies_refused", "connections and requests of proxies that came to nothing because nobody knew whom they brought, by reason", func(s *Status) map[string]uint64 {
		p := s.Edge.Proxies
		return map[string]uint64{"missing": p.Missing, "malformed": p.Malformed, "slow": p.Slow, "left": p.Left, "contradiction": p.Contradiction, "unexpected": p.Unexpected}
	}),
	gauge("sni_open", "", "connections that are passed on to other servers by name", func(s *Status) float64 { return float64(s.Edge.SNI.Open) }),
	counter("sni_passed", "connections that were passed on to other servers", func(s *Status) uint64 { return s.Edge.SNI.Passed }),
	ofBytes(by("direction", "sni_bytes", "bytes that were passed on, by direction", func(s *Status) map[string]uint64 {
		return map[string]uint64{"in": s.Edge.SNI.BytesIn, "out": s.Edge.SNI.BytesOut}
	})),
	byReason("sni_refused", "connections that were closed for the name that they asked for, or instead of being passed on, by reason", func(s *Status) map[string]uint64 {
		r := s.Edge.SNI.Refused
		return map[string]uint64{"unknown": r.Unknown, "none": r.None, "full": r.Full, "down": r.Down, "loop": r.Loop}
	}),
	counter("site_requests", "requests that the home page's directory or server has answered", func(s *Status) uint64 { return s.Edge.Site.Answered }),
	counter("site_busy", "requests for it that came while there were as many foreign connections as may be", func(s *Status) uint64 { return s.Edge.Site.Busy }),
	counter("site_down", "requests for it that its server did not answer", func(s *Status) uint64 { return s.Edge.Site.Down }),
	counter("upgrades_refused", "requests for the relay that were no upgrade", func(s *Status) uint64 { return s.Edge.Refused }),
	counter("upgrades_sent_away", "requests for the relay while it drained", func(s *Status) uint64 { return s.Edge.SentAway }),
	counter("floods", "connections ended for too much of what carries no data", func(s *Status) uint64 { return s.Edge.Floods }),
	gauge("serving", "", "connections that are in the relay", func(s *Status) float64 { return float64(s.Edge.Serving) }),
}

var stunMetrics = []Metric{
	ofSTUN(counter("stun_received", "datagrams", func(s *Status) uint64 { return s.STUN.Received })),
	ofSTUN(counter("stun_requests", "requests", func(s *Status) uint64 { return s.STUN.Requests })),
	ofSTUN(by("family", "stun_answered", "answers, by family", func(s *Status) map[string]uint64 {
		return map[string]uint64{"ipv4": s.STUN.AnsweredIPv4, "ipv6": s.STUN.AnsweredIPv6}
	})),
	ofSTUN(counter("stun_unhealthy", "requests left unanswered because the relay wants no peers", func(s *Status) uint64 { return s.STUN.Unhealthy })),
	ofSTUN(counter("stun_send_errors", "answers that the system did not take", func(s *Status) uint64 { return s.STUN.SendErrors })),
	ofSTUN(byReason("stun_ignored", "datagrams that are no requests, by reason", func(s *Status) map[string]uint64 {
		i := s.STUN.Ignored
		return map[string]uint64{
			"too_long": i.TooLong, "header": i.Header, "not_a_request": i.NotRequest, "attributes": i.Attributes, "software": i.Software,
			"fingerprint_not_last": i.FingerprintNotLast, "fingerprint_value": i.FingerprintValue,
		}
	})),
	ofSTUN(counter("stun_no_local_addr", "requests without a word of the system to which address", func(s *Status) uint64 { return s.STUN.NoLocalAddr })),
	ofSTUN(counter("stun_receive_errors", "failed reads of the socket", func(s *Status) uint64 { return s.STUN.ReceiveErrors })),
}

var certificateMetrics = front.CertificateNumbers(func(s *Status) *certs.Description { return s.Certificate })

var scrapeMetrics = front.ScrapeNumbers(func(s *Status) *front.Scrapes { return s.Scrapes })

var controlMetrics = []Metric{
	ofControl(counter("control_requests", "requests of commands and others who may change the relay", func(s *Status) uint64 { return s.Control.Requests })),
	ofControl(counter("control_failed", "of these, answered with why not", func(s *Status) uint64 { return s.Control.Failed })),
	front.ControlRefusals(func(s *Status) *control.Snapshot { return s.Control }),
}

func ofControl(m Metric) Metric { return when(func(s *Status) bool { return s.Control != nil }, m) }

var processMetrics = []Metric{
	{Name: "build_info", Kind: numbers.Gauge, Help: "the program that runs; always 1", Label: "version", Values: func(s *Status, say func(string, float64)) { say(s.Version, 1) }},
	when(func(s *Status) bool { return !s.Now.IsZero() }, numbers.Now("clock", "seconds", "what this machine's clock says, since 1970", func(s *Status) float64 { return float64(s.Now.UnixMilli()) / 1e3 })),
	ofReload(gauge("reload_at", "seconds", "when settings were reloaded last, since 1970", func(s *Status) float64 { return float64(s.Reload.At.Unix()) })),
	ofReload(gauge("reload_failed", "", "1 if the last reload could not take over everything", func(s *Status) float64 { return truth(s.Reload.Error != "") })),
	ofReload(gauge("reload_waiting", "", "settings that wait for a restart", func(s *Status) float64 { return float64(len(s.Reload.Restart)) })),
	gauge("descriptors", "", "files and sockets that the process may have open; 0: nobody knows", func(s *Status) float64 { return float64(s.Descriptors.Limit) }),
}

// Sums are the sums that hold.
var Sums = []Sum{
	{Text: "received_packets = sent_packets + dropped_packets + dropped_disco_packets + queued", Holds: func(s *Status) bool {
		lost := uint64(0)
		for _, k := range s.Relay.Dropped {
			lost += k.Disco.Packets + k.Other.Packets
		}
		in, out := s.Relay.Received, s.Relay.Sent
		return in.Disco.Packets+in.Other.Packets == out.Disco.Packets+out.Other.Packets+lost+uint64(s.Relay.Queued)
	}},
	{Text: "accepts = conns + ended, logins aside that are under way", Holds: func(s *Status) bool {
		return s.Relay.Accepts == uint64(s.Relay.Conns)+total(s.Relay.Ended)
	}},
	{Text: "link_tries = links + links_ended, tries aside that are under way", Holds: func(s *Status) bool {
		return s.Relay.LinkTries == uint64(len(s.Relay.Links))+total(s.Relay.LinksEnded)
	}},
	{Text: "selfchecks_failed <= selfchecks, and selfchecks_direct <= selfchecks", Holds: func(s *Status) bool {
		c := s.Health.SelfCheck
		return c == nil || c.FailedTotal <= c.Checks && c.DirectTotal <= c.Checks
	}},
	{Text: "stun_received = stun_requests + stun_ignored", Holds: func(s *Status) bool {
		if s.STUN == nil {
			return true
		}
		i := s.STUN.Ignored
		return s.STUN.Received == s.STUN.Requests+i.TooLong+i.Header+i.NotRequest+i.Attributes+i.Software+i.FingerprintNotLast+i.FingerprintValue
	}},
	{Text: "stun_requests = stun_answered + stun_unhealthy + stun_send_errors", Holds: func(s *Status) bool {
		return s.STUN == nil || s.STUN.Requests == s.STUN.AnsweredIPv4+s.STUN.AnsweredIPv6+s.STUN.Unhealthy+s.STUN.SendErrors
	}},
}

func total(byReason map[string]uint64) (n uint64) {
	for _, of := range byReason {
		n += of
	}
	return n
}

// siblings counts those that there should be links to, and those of them without.
func siblings(s *Status) (all, away int) {
	states, _ := s.Mesh.([]mesh.State)
	for _, state := range states {
		switch state.Status {
		case mesh.Self, mesh.Known:
		case mesh.Linked:
			all++
		default:
			all, away = all+1, away+1
		}
	}
	return all, away
}

// What follows writes rows of the table.

func counter(name, help string, value func(*Status) uint64) Metric {
	return numbers.Grows(name, help, value)
}

func gauge(name, unit, help string, value func(*Status) float64) Metric {
	return numbers.Now(name, unit, help, value)
}

func by(label, name, help string, values func(*Status) map[string]uint64) Metric {
	return numbers.By(label, name, help, values)
}

func byReason(name, help string, values func(*Status) map[string]uint64) Metric {
	return by("reason", name, help, values)
}

func packets(name, help string, value func(*Status) relay.ByKind) Metric {
	return Metric{Name: name, Kind: numbers.Counter, Help: help, Label: "kind", Values: func(s *Status, say func(string, float64)) {
		say("disco", float64(value(s).Disco.Packets))
		say("other", float64(value(s).Other.Packets))
	}}
}

func bytes(name, help string, value func(*Status) relay.ByKind) Metric {
	return Metric{Name: name, Kind: numbers.Counter, Unit: "bytes", Help: help, Label: "kind", Values: func(s *Status, say func(string, float64)) {
		say("disco", float64(value(s).Disco.Bytes))
		say("other", float64(value(s).Other.Bytes))
	}}
}

// limited has a value for each limit that can be used up: in, out, total, and nothing.
func limited(name, unit, help string, value func(relay.Limited) float64) Metric {
	return Metric{Name: name, Kind: numbers.Counter, Unit: unit, Help: help, Label: "limit", Values: func(s *Status, say func(string, float64)) {
		for _, limit := range slices.Sorted(maps.Keys(s.Relay.Limited)) {
			say(limit, value(s.Relay.Limited[limit]))
		}
	}}
}

func dropped(name, unit, help string, value func(relay.ByKind) uint64) Metric {
	m := byReason(name, help, func(s *Status) map[string]uint64 {
		all := make(map[string]uint64, len(s.Relay.Dropped))
		for reason, k := range s.Relay.Dropped {
			all[reason] = value(k)
		}
		return all
	})
	m.Unit = unit
	return m
}

func ofBytes(m Metric) Metric {
	m.Unit = "bytes"
	return m
}

func when(has func(*Status) bool, m Metric) Metric { return numbers.When(has, m) }

func ofSelfCheck(m Metric) Metric {
	return when(func(s *Status) bool { return s.Health.SelfCheck != nil }, m)
}

func ofSTUN(m Metric) Metric { return when(func(s *Status) bool { return s.STUN != nil }, m) }

func ofAccess(m Metric) Metric { return when(func(s *Status) bool { return s.Access != nil }, m) }

func ofReload(m Metric) Metric { return when(func(s *Status) bool { return s.Reload != nil }, m) }

func truth(b bool) float64 { return numbers.Truth(b) }
