package admin

import (
	"github.com/detour-relay/detour/internal/numbers"
	"github.com/detour-relay/detour/relay"
)

// histograms are how long things take, and how large they are.
var histograms = []Metric{
	spread("outbox_time", "seconds", "how long packets that were sent had waited in an outbox", func(s *Status) relay.Histogram { return s.Relay.OutboxTime }),
	spread("login_time", "seconds", "how long logins took, from the greeting until the peer had proven its key", func(s *Status) relay.Histogram { return s.Relay.LoginTime }),
	spread("admission_time", "seconds", "how long whoever decides took to say whether a peer may come in", func(s *Status) relay.Histogram { return s.Relay.AdmissionTime }),
	spread("tcp_round_trip", "seconds", "round trips of TCP, as the kernel told them at logins and keep-alives", func(s *Status) relay.Histogram { return s.Relay.RoundTrip }),
	spread("burst_packets", "", "packets that were received at once", func(s *Status) relay.Histogram { return s.Relay.BurstPackets }),
	spread("flush_frames", "", "frames that were written at once, packets and others", func(s *Status) relay.Histogram { return s.Relay.FlushFrames }),
	spread("news_frames", "", "frames for siblings that were written at once and are no packets: who has come or left", func(s *Status) relay.Histogram { return s.Relay.NewsFrames }),
	spread("tls_handshake_time", "seconds", "how long completed TLS handshakes took", func(s *Status) relay.Histogram { return s.Edge.Handshakes }),
}

// spread leaves out what the relay does not measure.
func spread(name, unit, help string, of func(*Status) relay.Histogram) Metric {
	return when(func(s *Status) bool { return len(of(s).Counts) > 0 },
		numbers.Spread(name, unit, help, func(s *Status) numbers.Ranges { return numbers.Ranges(of(s)) }))
}
