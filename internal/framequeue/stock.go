package framequeue

import "sync/atomic"

// A Stock is the memory that all boxes together may hold for receivers that are behind.
// A box may grow while it holds no more than a part of what is left, so that who holds
// most gives up first, all that are behind end with the same, and something is left for
// who has nothing yet. Nobody has to be visited for that.
//
// Only what waits for a receiver that is behind is counted: for others, frames are here
// until the end of a burst, and they do no more than read. It is ready as it is, and
// then has no bound.
type Stock struct {
	_    [64]byte // it is read by all, so nothing that changes often is beside it
	most atomic.Int64
	used atomic.Int64
	peak atomic.Int64 // since somebody asked
	_    [64]byte
}

const (
	// share is the part of what is left that one box may hold: with so many boxes that
	// are full, half of all is left. A wide box is that of many receivers.
	share     = 16
	wideShare = 2

	// kept is the part that is not for receivers that were behind lately.
	kept = 8

	// uncounted is what a box may hold, in KiB, while its receiver is not behind: about a
	// burst, and the next one.
	uncounted = 128
)

// Bound sets the bytes that there are; 0: no bound.
func (s *Stock) Bound(bytes int64) { s.most.Store(bytes >> 10) }

// Most returns how many bytes there are; 0: no bound.
func (s *Stock) Most() int64 { return s.most.Load() << 10 }

// Used returns how many bytes are held.
func (s *Stock) Used() int64 { return s.used.Load() << 10 }

// Peak returns about how many bytes were held at most since the last call.
func (s *Stock) Peak() int64 { return max(s.peak.Swap(0), s.used.Load()) << 10 }

func (s *Stock) add(kib int64) {
	if used := s.used.Add(kib); used > s.peak.Load() {
		s.peak.Store(used)
	}
}

// grants reports whether a box may hold so many KiB more.
func (s *Stock) grants(b *Box, more int) bool {
	most := s.most.Load()
	if most == 0 {
		return true
	}
	left := most - s.used.Load()
	if b.slow {
		left -= most / kept
	}
	held, part := int64(b.Held()), int64(share)
	if b.Wide {
		part = wideShare
	}
	first := held == 0 && more <= SegmentSize>>10 && int64(more) <= left
	return first || held+int64(more) <= left/part
}

// tight reports whether less than half is left.
func (s *Stock) tight() bool {
	most := s.most.Load()
	return most > 0 && 2*s.used.Load() > most
}
