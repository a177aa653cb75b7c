package metrics

import (
	"math"
	"runtime"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/numbers"
	"github.com/detour-relay/detour/relay"
)

// derpers are the numbers of derper that a relay of ours has, too, by the names, types and
// labels of derper 1.104. Where they differ, the help says it. test/interop lists what is
// missing, and why.
var derpers = []row[admin.Status]{
	count("derp_accepts", "streams that peers and siblings opened", func(s *admin.Status) uint64 { return s.Relay.Accepts }),
	level("derp_current_connections", "connections that have logged in", func(s *admin.Status) int64 { return s.Relay.Conns }),
	level("derp_current_home_connections", "connections that call this relay their home", func(s *admin.Status) int64 { return s.Relay.Homes }),
	level("derp_current_notideal_connections", "connections that would rather be at another relay", func(s *admin.Status) int64 { return s.Relay.NotIdeal }),
	level("derp_clients_local", "keys that are connected here", func(s *admin.Status) int64 { return s.Relay.Peers }),
	level("derp_clients_remote", "keys that only siblings have", func(s *admin.Status) int64 { return s.Relay.RemotePeers }),
	level("derp_clients_total", "keys known here or through the mesh", func(s *admin.Status) int64 { return s.Relay.Peers + s.Relay.RemotePeers }),
	level("derp_watchers", "siblings that watch who is connected", func(s *admin.Status) int64 { return s.Relay.Watchers }),
	level("derp_current_dup_client_keys", "keys with several connections", func(s *admin.Status) int64 { return s.Relay.DupKeys }),
	level("derp_current_dup_client_conns", "their connections", func(s *admin.Status) int64 { return s.Relay.DupConns }),
	count("derp_total_dup_client_conns", "connections that met another of their key", func(s *admin.Status) uint64 { return s.Relay.DupConnsTotal }),
	count("derp_home_moves_in", "connections that made this relay their home later on", func(s *admin.Status) uint64 { return s.Relay.HomeMovesIn }),
	count("derp_home_moves_out", "connections that gave this relay up as their home", func(s *admin.Status) uint64 { return s.Relay.HomeMovesOut }),

	count("derp_packets_received", "packets of peers, without those from siblings", func(s *admin.Status) uint64 { return sum(s.Relay.Received).Packets - s.Relay.ForwardedIn }),
	count("derp_bytes_received", "payload of packets of peers; here those from siblings are in it", func(s *admin.Status) uint64 { return sum(s.Relay.Received).Bytes }),
	{
		name: "derp_packets_received_kind", help: "packets by kind; here those from siblings are in it", labels: []string{"kind"}, kind: numbers.Counter,
		values: func(s *admin.Status, say sayer) {
			say(float64(s.Relay.Received.Disco.Packets), "disco")
			say(float64(s.Relay.Received.Other.Packets), "other")
		},
	},
	count("derp_packets_sent", "packets to peers and siblings", func(s *admin.Status) uint64 { return sum(s.Relay.Sent).Packets }),
	count("derp_bytes_sent", "payload of packets to peers and siblings", func(s *admin.Status) uint64 { return sum(s.Relay.Sent).Bytes }),
	count("derp_packets_forwarded_out", "packets to siblings", func(s *admin.Status) uint64 { return s.Relay.ForwardedOut }),
	count("derp_packets_forwarded_in", "packets from siblings", func(s *admin.Status) uint64 { return s.Relay.ForwardedIn }),
	dropped("derp_packets_dropped", "packets given up, by reason and kind", func(t relay.Traffic) uint64 { return t.Packets }),
	dropped("derp_bytes_dropped", "payload of packets given up, by reason and kind", func(t relay.Traffic) uint64 { return t.Bytes }),

	count("derp_got_ping", "pings of peers", func(s *admin.Status) uint64 { return s.Relay.Pings }),
	count("derp_sent_pong", "pings of peers, each of which is answered", func(s *admin.Status) uint64 { return s.Relay.Pings }),
	count("derp_peer_gone_disconnected_frames", "news that a peer has left", func(s *admin.Status) uint64 { return s.Relay.PeerGone[derp.ReasonDisconnected.String()] }),
	count("derp_peer_gone_not_here_frames", "news that a peer is not here", func(s *admin.Status) uint64 { return s.Relay.PeerGone[derp.ReasonNotHere.String()] }),
	count("derp_unknown_frames", "frames of an unknown type; always 0 in derper", func(s *admin.Status) uint64 { return s.Relay.UnknownFrames }),
	count("derp_sclient_write_timeouts", "connections that ended because the peer took no bytes", func(s *admin.Status) uint64 { return s.Relay.Ended["write_timeout"] }),

	{
		name: "derp_average_queue_duration_ms", help: "mean time that packets waited in outboxes, in milliseconds; here since the start, in derper of the last ones", kind: untyped,
		values: func(s *admin.Status, say sayer) {
			waited := numbers.Ranges(s.Relay.OutboxTime)
			say(1e3 * waited.Sum / max(1, float64(waited.Count())))
		},
	},
	{
		name: "derp_tcp_rtt", help: "round trips of TCP, by upper bound; they do not add up", labels: []string{"le"}, kind: numbers.Counter,
		values: func(s *admin.Status, say sayer) { roundTrips(s.Relay.RoundTrip, say) },
	},
	spread("derp_buffered_write_frames", "frames of a write; derper counts groups of them that belong together", func(s *admin.Status) relay.Histogram { return s.Relay.FlushFrames }),
	spread("derp_mesh_update_batch_size", "frames of a write that tell a sibling who has come or left", func(s *admin.Status) relay.Histogram { return s.Relay.NewsFrames }),

	count("derp_websocket_accepts", "connections that came by WebSocket", func(s *admin.Status) uint64 { return s.Edge.WebSocket }),
	count("tls_listener_accepted_connections", "connections taken from the listener", func(s *admin.Status) uint64 { return s.Edge.Accepted - s.Edge.Rejected - s.Edge.Full }),
	count("tls_listener_rejected_connections", "connections closed at once: over the limit, or no room", func(s *admin.Status) uint64 { return s.Edge.Rejected + s.Edge.Full }),
	{
		name: "stun_requests", help: "datagrams, by what became of them", labels: []string{"disposition"}, kind: numbers.Counter,
		values: ofSTUN(func(s *admin.Status, say sayer) {
			say(float64(s.STUN.AnsweredIPv4+s.STUN.AnsweredIPv6), "success")
			say(float64(s.STUN.Received-s.STUN.Requests), "not_stun")
			say(float64(s.STUN.ReceiveErrors), "read_error")
			say(float64(s.STUN.SendErrors), "write_error")
		}),
	},
	{
		name: "stun_addrfamily", help: "answers, by the family of the address", labels: []string{"family"}, kind: numbers.Counter,
		values: ofSTUN(func(s *admin.Status, say sayer) {
			say(float64(s.STUN.AnsweredIPv4), "ipv4")
			say(float64(s.STUN.AnsweredIPv6), "ipv6")
		}),
	},

	{
		name: "process_start_unix_time", help: "when the process began, in seconds since 1970", kind: numbers.Gauge,
		values: func(s *admin.Status, say sayer) { say(float64(s.Started.Unix())) },
	},
	{
		name: "uptime_sec", help: "for how many seconds it runs", kind: numbers.Counter,
		values: func(s *admin.Status, say sayer) { say(time.Since(s.Started).Truncate(time.Second).Seconds()) },
	},
	level("goroutines", "goroutines of the process", func(*admin.Status) int64 { return int64(runtime.NumGoroutine()) }),
}

// untyped is a number of which derper says no type.
const untyped numbers.Kind = "untyped"

// rttBounds are derper's bounds of round trips, in seconds.
var rttBounds = []struct {
	most  float64
	label string
}{{0.01, "10ms"}, {0.02, "20ms"}, {0.05, "50ms"}, {0.1, "100ms"}, {0.15, "150ms"}, {0.25, "250ms"}, {0.5, "500ms"}, {math.Inf(1), "inf"}}

// roundTrips says how many fell between two of derper's bounds: ours have those among
// them.
func roundTrips(h relay.Histogram, say sayer) {
	i := 0
	for _, bound := range rttBounds {
		n := uint64(0)
		for ; i < len(h.Counts) && (i == len(h.Bounds) || h.Bounds[i] <= bound.most); i++ {
			if i == len(h.Bounds) && !math.IsInf(bound.most, 1) {
				break
			}
			n += h.Counts[i]
		}
		say(float64(n), bound.label)
	}
}

func count(name, help string, value func(*admin.Status) uint64) row[admin.Status] {
	return row[admin.Status]{name: name, help: help, kind: numbers.Counter, values: func(s *admin.Status, say sayer) { say(float64(value(s))) }}
}

func spread(name, help string, of func(*admin.Status) relay.Histogram) row[admin.Status] {
	return row[admin.Status]{name: name, help: help, kind: numbers.Histogram, ranges: func(s *admin.Status) (numbers.Ranges, bool) {
		h := of(s)
		return numbers.Ranges(h), len(h.Counts) > 0
	}}
}

func level(name, help string, value func(*admin.Status) int64) row[admin.Status] {
	return row[admin.Status]{name: name, help: help, kind: numbers.Gauge, values: func(s *admin.Status, say sayer) { say(float64(value(s))) }}
}

func dropped(name, help string, value func(relay.Traffic) uint64) row[admin.Status] {
	return row[admin.Status]{name: name, help: help, labels: []string{"reason", "kind"}, kind: numbers.Counter, values: func(s *admin.Status, say sayer) {
		for reason, k := range s.Relay.Dropped {
			say(float64(value(k.Disco)), reason, "disco")
			say(float64(value(k.Other)), reason, "other")
		}
	}}
}

func ofSTUN(values func(*admin.Status, sayer)) func(*admin.Status, sayer) {
	return func(s *admin.Status, say sayer) {
		if s.STUN != nil {
			values(s, say)
		}
	}
}

func sum(k relay.ByKind) relay.Traffic {
	return relay.Traffic{Packets: k.Disco.Packets + k.Other.Packets, Bytes: k.Disco.Bytes + k.Other.Bytes}
}
