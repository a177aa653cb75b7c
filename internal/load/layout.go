package load

import "github.com/detour-relay/detour/key"

// cast is how many peers the streams of a run need to send and to receive, the
// stalled pair included.
func cast(cfg Config) (senders, receivers int) {
	senders, receivers = cfg.Pairs, cfg.Pairs
	switch cfg.Pattern {
	case FanIn:
		receivers = 1
	case FanOut:
		senders = 1
	}
	if cfg.Stall {
		senders, receivers = senders+1, receivers+1
	}
	return senders, receivers
}

// layOut makes the streams, senders and receivers out of the peers that have logged
// in.
func (r *run) layOut() {
	from, to := r.from, r.to
	fill := newText(r.cfg.Size)
	if r.cfg.Stall {
		var a, b *peer
		from, a = cutLast(from)
		to, b = cutLast(to)
		r.stalled = newStream(uint32(r.cfg.Pairs), a.public, b.public)
		r.staller = newSender(a.conn, []*stream{r.stalled}, fill, &r.stage, r.cfg.Size, r.cfg.Burst)
		r.pace(r.staller, 0, len(from))
	}
	for i := range r.cfg.Pairs {
		a, b := from[i%len(from)], to[i%len(to)]
		r.streams = append(r.streams, newStream(uint32(i), a.public, b.public))
	}
	for i, p := range from {
		s := newSender(p.conn, r.streamsFrom(p.public), fill, &r.stage, r.cfg.Size, r.cfg.Burst)
		r.pace(s, i, len(from))
		r.senders = append(r.senders, s)
	}
	for _, p := range to {
		r.receivers = append(r.receivers, &receiver{
			conn: p.conn, stage: &r.stage, latencies: newHistogram(),
			checker: checker{text: fill, size: r.cfg.Size, to: p.public, streams: r.streams, broken: map[uint32]bool{}},
		})
	}
}

func cutLast(peers []*peer) (rest []*peer, last *peer) {
	n := len(peers) - 1
	return peers[:n], peers[n]
}

func (r *run) streamsFrom(p key.Public) (streams []*stream) {
	for _, s := range r.streams {
		if s.from == p {
			streams = append(streams, s)
		}
	}
	return streams
}

// pace gives the i-th of n senders its share of the rate. The pair whose receiver
// never reads gets as much as each of the others, on top.
func (r *run) pace(s *sender, i, n int) {
	if r.cfg.Rate == 0 {
		return
	}
	bits := float64(r.cfg.Burst) * float64(r.cfg.Size) * 8
	s.interval = bits * 1e9 * float64(n) / float64(r.cfg.Rate)
	s.offset = int64(max(s.interval, float64(shortestSleep)) * float64(i) / float64(n))
}

// stallers is the sender of the stalled pair, if there is one.
func (r *run) stallers() []*sender {
	if r.staller == nil {
		return nil
	}
	return []*sender{r.staller}
}
