package wgbind

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/key"
)

func stranger(n int) key.Public { return key.Public{1: byte(n >> 8), 2: byte(n), 3: 1} }

func (s *strangers) meet(k key.Public, packet []byte) *Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meetLocked(k, packet)
}

// counts are how many wait, are held and were dropped.
func (s *strangers) counts() [3]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return [3]int{len(s.waiting), s.held, int(s.dropped)}
}

// What a stranger has sent comes in its order, before all that comes later.
func TestHeldPacketsComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan bool)
		var got []byte
		s := newStrangers(func(ctx context.Context, k key.Public) bool { return <-answer }, func(parcels []parcel) {
			for _, p := range parcels {
				got = append(got, p.packet...)
			}
		})
		defer s.close()
		packet := []byte{1}
		for i := range 3 {
			packet[0] = byte(i)
			if e := s.meet(stranger(1), packet); e != nil {
				t.Fatal("nobody was asked")
			}
		}
		answer <- true
		synctest.Wait()
		if !slices.Equal(got, []byte{0, 1, 2}) || s.meet(stranger(1), packet) == nil || s.counts() != [3]int{} {
			t.Errorf("%v came, %v", got, s.counts())
		}
		s.forget(stranger(1))
		if s.meet(stranger(1), packet) != nil {
			t.Error("who was forgotten is known")
		}
		answer <- false
		synctest.Wait()
		if s.counts() != [3]int{0, 0, 1} {
			t.Errorf("who is refused: %v", s.counts())
		}
	})
}

// However many there are, so many are asked about at a time, and so much is held.
func TestStrangersHaveBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		s := newStrangers(func(ctx context.Context, k key.Public) bool {
			asked.Add(1)
			<-ctx.Done()
			return true // too late
		}, func([]parcel) { t.Error("somebody comes in") })
		defer s.close()
		for i := range 1000 {
			s.meet(stranger(i), []byte{1})
			s.meet(stranger(0), []byte{1})
		}
		synctest.Wait()
		if asked.Load() != mostAsked || s.counts() != [3]int{mostAsked, MostHeld, 2000 - MostHeld} {
			t.Errorf("%d asked about, %v", asked.Load(), s.counts())
		}
		time.Sleep(holdTime)
		synctest.Wait()
		if s.counts() != [3]int{0, 0, 2000} {
			t.Errorf("at the end %v", s.counts())
		}
		s.meet(stranger(0), []byte{1})
		synctest.Wait()
		if asked.Load() != mostAsked {
			t.Error("somebody who was refused is asked about at once again")
		}
		time.Sleep(refusedTime)
		s.meet(stranger(0), []byte{1})
		synctest.Wait()
		if asked.Load() != mostAsked+1 {
			t.Error("and not after a while either")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range 3000 {
			s.refuseLocked(stranger(i))
		}
		if len(s.refused) != mostRefused {
			t.Errorf("%d are remembered", len(s.refused))
		}
	})
}

// The end does not wait for whoever is asked.
func TestCloseEndsWhatIsAsked(t *testing.T) {
	s := newStrangers(func(ctx context.Context, k key.Public) bool {
		<-ctx.Done()
		return false
	}, nil)
	s.meet(stranger(1), []byte{1})
	s.close()
	if s.counts() != [3]int{0, 0, 1} {
		t.Errorf("at the end %v", s.counts())
	}
}
