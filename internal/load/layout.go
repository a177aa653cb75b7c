package load

import "github.com/detour-relay/detour/key"

// peersOf is how many peers the streams of a run need, the stalled pair included.
func peersOf(cfg Config) int {
	n := 2 * cfg.Pairs
	if cfg.Pattern != Pairs {
		n = cfg.Pairs + 1
	}
	if cfg.Stall {
		n += 2
	}
	return n
}

// layOut makes the streams, senders and receivers out of the peers that have logged in.
func (r *run) layOut() {
	from, to := r.split()
	fill := newText(r.cfg.Size)
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
	if r.cfg.Stall {
		a, b := r.peers[len(r.peers)-2], r.peers[len(r.peers)-1]
		r.stalled = newStream(uint32(r.cfg.Pairs), a.public, b.public)
		r.staller = newSender(a.conn, []*stream{r.stalled}, fill, &r.stage, r.cfg.Size, r.cfg.Burst)
		r.pace(r.staller, 0, len(from))
	}
}

// split says which peers send and which receive.
func (r *run) split() (from, to []*peer) {
	switch r.cfg.Pattern {
	case FanIn:
		return r.peers[1 : r.cfg.Pairs+1], r.peers[:1]
	case FanOut:
		return r.peers[:1], r.peers[1 : r.cfg.Pairs+1]
	default:
		return r.peers[:r.cfg.Pairs], r.peers[r.cfg.Pairs : 2*r.cfg.Pairs]
	}
}

func (r *run) streamsFrom(p key.Public) (streams []*stream) {
	for _, s := range r.streams {
		if s.from == p {
			streams = append(streams, s)
		}
	}
	return streams
}

// pace gives the i-th of n senders its share of the rate. The pair whose receiver never reads gets as
// much as each of the others, on top.
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
