package load

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/client"
)

// phase is where a run stands. It only goes forward.
type phase int32

const (
	warming   phase = iota // traffic flows, nothing counts yet
	measuring              // packets sent now are those the report speaks of
	stopped                // no more is sent; what is under way still arrives
)

// longestSleep bounds how late a slow sender sees that the phase has changed.
const longestSleep = 10 * time.Millisecond

// clock is the time base of a run: nanoseconds since it began, from the monotonic
// clock.
type clock struct{ began time.Time }

func (c clock) now() int64 { return int64(time.Since(c.began)) }

// stage is the run's state that senders follow.
type stage struct {
	clock       clock
	phase       atomic.Int32
	windowStart atomic.Int64 // set before phase becomes measuring
	windowEnd   atomic.Int64 // set before phase becomes stopped
}

func (g *stage) now() phase { return phase(g.phase.Load()) }

// sender offers packets on the streams that begin at one peer, in turn.
type sender struct {
	// set once
	conn     *client.Conn
	streams  []*stream
	text     text
	stage    *stage
	interval float64 // nanoseconds between writes; 0: as fast as the connection takes them
	offset   int64   // of this sender's schedule, so that senders do not all wake at once

	// owned by the sender's goroutine, read when it has ended
	packets []client.Packet // one write; every packet keeps its own bytes
	turn    int             // of the streams
	offered uint64          // packets asked for in the measured window
	given   uint64          // of these, given up because the connection was full
}

func newSender(conn *client.Conn, streams []*stream, fill text, g *stage, size, burst int) *sender {
	s := &sender{conn: conn, streams: streams, text: fill, stage: g, packets: make([]client.Packet, burst)}
	for i := range s.packets {
		s.packets[i].Data = make([]byte, size)
	}
	return s
}

// hello sends single packets on every stream until one has arrived on each.
func (s *sender) hello(ctx context.Context) error {
	retry := time.NewTicker(helloRetry)
	defer retry.Stop()
	for _, one := range s.streams {
		for one.arrived.Load() == 0 {
			if err := s.write([]*stream{one}, 1); err != nil {
				return err
			}
			if err := arrival(ctx, one, retry.C); err != nil {
				return fmt.Errorf("no packet came from %s to %s: %w", one.from.Short(), one.to.Short(), err)
			}
		}
	}
	return nil
}

// arrival waits until the stream's receiver has got something, or until it is time
// to send again.
func arrival(ctx context.Context, one *stream, retry <-chan time.Time) error {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for one.arrived.Load() == 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-retry:
			return nil
		case <-look.C:
		}
	}
	return nil
}

// run sends until the stage is stopped or the connection fails.
func (s *sender) run() error {
	defer s.closeWindow()
	if s.interval == 0 {
		return s.flood()
	}
	if err := s.pace(warming); err != nil {
		return err
	}
	return s.pace(measuring)
}

// flood sends without a schedule: the connection's back-pressure is the pace.
func (s *sender) flood() error {
	for {
		switch s.stage.now() {
		case measuring:
			s.openWindow()
		case stopped:
			return nil
		}
		if err := s.write(s.streams, len(s.packets)); err != nil {
			return err
		}
		runtime.Gosched() // see yieldEvery
	}
}

// pace sends by a schedule that lasts for one phase.
func (s *sender) pace(during phase) error {
	plan := schedule{start: s.stage.clock.now() + s.offset, interval: s.interval}
	if during == measuring {
		s.openWindow()
		plan.start = s.stage.windowStart.Load() + s.offset
		defer func() { s.book(&plan) }()
	}
	for {
		now, over := s.stage.clock.now(), s.stage.now() > during
		if over && during == measuring {
			now = min(now, s.stage.windowEnd.Load()) // what fell due in the window is still sent
		}
		for n := plan.due(now); n > 0; n-- {
			if err := s.write(s.streams, len(s.packets)); err != nil {
				return err
			}
			plan.done++
		}
		if over {
			return nil
		}
		time.Sleep(min(plan.wait(s.stage.clock.now()), longestSleep))
	}
}

// book notes what the schedule asked for in the measured window.
func (s *sender) book(plan *schedule) {
	end := s.stage.windowEnd.Load()
	if s.stage.now() != stopped {
		end = s.stage.clock.now() // the connection failed before the window ended
	}
	burst := uint64(len(s.packets))
	s.offered = uint64(plan.at(end)) * burst
	s.given = uint64(plan.given) * burst
}

// write stamps n packets and sends them in one write.
func (s *sender) write(streams []*stream, n int) error {
	now := s.stage.clock.now()
	for i := range s.packets[:n] {
		one := streams[s.turn%len(streams)]
		s.turn++
		packet := &s.packets[i]
		packet.Peer = one.to
		s.text.write(packet.Data, stamp{stream: one.id, seq: one.seq, sentAt: now})
		one.seq++
	}
	return s.conn.SendBatch(s.packets[:n])
}

func (s *sender) openWindow() {
	for _, one := range s.streams {
		if one.windowFrom.Load() > one.seq {
			one.windowFrom.Store(one.seq)
		}
	}
}

func (s *sender) closeWindow() {
	for _, one := range s.streams {
		one.windowTo.Store(one.seq)
	}
}
