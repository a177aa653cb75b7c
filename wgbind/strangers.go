package wgbind

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/detour-relay/detour/key"
)

const (
	// MostHeld is how many packets of strangers are held at the most, of all together.
	MostHeld = 64

	// holdTime is how long the first packets of a stranger wait for an answer.
	holdTime = time.Second

	// mostAsked is about how many strangers somebody is asked at a time.
	mostAsked = 16

	// refusedTime is how long it is remembered that a key is a stranger, and
	// mostRefused of how many: a relay can make up any number.
	refusedTime = 5 * time.Second
	mostRefused = 1024
)

// strangers are keys that the device may not have a peer for.
type strangers struct {
	ask     func(context.Context, key.Public) bool
	deliver func([]parcel)

	ctx    context.Context
	cancel context.CancelFunc
	asking sync.WaitGroup

	mu      sync.Mutex
	known   map[key.Public]*Endpoint
	waiting map[key.Public][][]byte
	refused map[key.Public]time.Time
	held    int // packets in waiting
	dropped uint64
}

func newStrangers(ask func(context.Context, key.Public) bool, deliver func([]parcel)) *strangers {
	s := &strangers{
		ask: ask, deliver: deliver,
		known: make(map[key.Public]*Endpoint), waiting: make(map[key.Public][][]byte), refused: make(map[key.Public]time.Time),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// close ends what is asked, and waits for it.
func (s *strangers) close() {
	s.cancel()
	s.asking.Wait()
}

// know returns the endpoint of a peer, and makes it one if need be.
func (s *strangers) know(k key.Public) *Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knowLocked(k)
}

func (s *strangers) knowLocked(k key.Public) *Endpoint {
	e := s.known[k]
	if e == nil {
		e = newEndpoint(k)
		s.known[k] = e
		delete(s.refused, k)
	}
	return e
}

// forget makes a peer a stranger.
func (s *strangers) forget(k key.Public) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, k)
}

// meetLocked returns the endpoint of a key from which a packet has come; nil: it is a
// stranger's, and has been dealt with.
func (s *strangers) meetLocked(k key.Public, packet []byte) *Endpoint {
	if e := s.known[k]; e != nil {
		return e
	}
	if s.ask == nil {
		return newEndpoint(k) // the device looks who it is
	}
	packets, asked := s.waiting[k]
	switch {
	case s.held == MostHeld, !asked && (len(s.waiting) == mostAsked || s.isRefusedLocked(k)):
		s.dropped++
		return nil
	case !asked:
		s.asking.Go(func() { s.askAbout(k) })
	}
	s.waiting[k] = append(packets, bytes.Clone(packet))
	s.held++
	return nil
}

func (s *strangers) isRefusedLocked(k key.Public) bool {
	until, ok := s.refused[k]
	return ok && time.Now().Before(until)
}

// askAbout asks about a stranger, and delivers what was held of one that the device has
// a peer for now.
func (s *strangers) askAbout(k key.Public) {
	ctx, cancel := context.WithTimeout(s.ctx, holdTime)
	defer cancel()
	yes := s.ask(ctx, k) && ctx.Err() == nil
	s.mu.Lock()
	defer s.mu.Unlock()
	packets := s.waiting[k]
	delete(s.waiting, k)
	s.held -= len(packets)
	if !yes {
		s.dropped += uint64(len(packets))
		s.refuseLocked(k)
		return
	}
	e := s.knowLocked(k)
	parcels := make([]parcel, len(packets))
	for i, p := range packets {
		parcels[i] = parcel{p, e}
	}
	s.deliver(parcels) // under mu, so that nothing newer gets before it
}

// refuseLocked remembers a stranger for a while.
func (s *strangers) refuseLocked(k key.Public) {
	now := time.Now()
	if len(s.refused) >= mostRefused {
		for other, until := range s.refused {
			if now.After(until) {
				delete(s.refused, other)
			}
		}
	}
	if len(s.refused) < mostRefused {
		s.refused[k] = now.Add(refusedTime)
	}
}
