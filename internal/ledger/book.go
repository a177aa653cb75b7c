package ledger

import (
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/framequeue"
	"github.com/detour-relay/detour/internal/histogram"
)

// A Book has the sums of a relay. When no packet is under way, this holds for each
// kind, and for bytes as well as packets:
//
//	received = sent + lost + queued
//
// It is ready after Init.
type Book struct {
	pages [pages]Page
}

const pages = 16

// A Page has a part of each sum. Anybody may write in any page; the less often two do
// in the same, the less they wait for each other's caches.
type Page struct {
	in        [Kinds]amount
	forwarded atomic.Uint64 // of in, packets from siblings
	bursts    histogram.Histogram

	// What one connection brings and what it gets is written by different goroutines.
	_ cacheLine

	out      [Kinds]amount
	passedOn atomic.Uint64       // of out, packets to siblings
	waits    histogram.Histogram // nanoseconds
	flushes  histogram.Histogram // frames
	control  atomic.Uint64       // frames that were no packets
	news     histogram.Histogram // of control, frames that siblings were sent at once

	lost [Reasons][Kinds]amount

	_ cacheLine
}

type cacheLine [64]byte

type amount struct{ packets, bytes atomic.Uint64 }

func (a *amount) add(packets, bytes int) {
	a.packets.Add(uint64(packets))
	a.bytes.Add(uint64(bytes))
}

// Init sets the bounds of the histograms.
func (b *Book) Init() {
	for i := range b.pages {
		p := &b.pages[i]
		p.bursts.Init(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
		p.waits.Init(histogram.OneTwoFive(int64(10*time.Microsecond), int64(time.Second))...)
		p.flushes.Init(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 25, 50, 100) // those of derper
		p.news.Init(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)              // likewise
	}
}

// Page returns the page for whoever has this number.
func (b *Book) Page(n uint64) *Page { return &b.pages[n%pages] }

// Received counts a burst of packets, of which so many were forwarded by a sibling.
func (p *Page) Received(packets, bytes *[Kinds]int, forwarded int) {
	all := 0
	for k, n := range packets {
		if n > 0 {
			p.in[k].add(n, bytes[k])
			all += n
		}
	}
	if all > 0 {
		p.bursts.Count(int64(all), 1)
	}
	if forwarded > 0 {
		p.forwarded.Add(uint64(forwarded))
	}
}

// Sent counts a batch that has been sent, to a sibling if it is passed on. Its time is
// up when it is taken, so the segments tell how long they have waited.
func (p *Page) Sent(b *framequeue.Batch, passOn bool) {
	packets := 0
	for k, n := range b.Packets {
		if n > 0 {
			p.out[k].add(n, b.Bytes[k])
			packets += n
		}
	}
	if passOn {
		p.passedOn.Add(uint64(packets))
	}
	for _, s := range b.Segments[b.Controls:b.N] {
		p.waits.Count(b.Taken-s.Middle(), s.Frames)
	}
	if packets > 0 {
		p.waits.AddSum(b.Waited)
	}
	control := b.ControlFrames()
	if control > 0 {
		p.control.Add(uint64(control))
	}
	p.flushes.Count(int64(packets+control), 1)
}

// News counts control frames that a sibling was sent at once.
func (p *Page) News(frames int) {
	if frames > 0 {
		p.news.Add(int64(frames), 1)
	}
}

// Failed counts a batch that was to be sent.
func (p *Page) Failed(b *framequeue.Batch) {
	for k, n := range b.Packets {
		if n > 0 {
			p.lost[WriteError][k].add(n, b.Bytes[k])
		}
	}
}

// Lost counts packets that were given up.
func (p *Page) Lost(r Reason, k Kind, packets, bytes int) { p.lost[r][k].add(packets, bytes) }

// Totals are the sums of a book at one moment.
type Totals struct {
	In, Out   [Kinds]Amount
	Forwarded uint64 // of In, packets from siblings
	PassedOn  uint64 // of Out, packets to siblings
	Lost      [Reasons][Kinds]Amount

	Waits   histogram.Snapshot // seconds that the packets in Out have waited
	Bursts  histogram.Snapshot // packets that came at once
	Flushes histogram.Snapshot // frames that left at once
	News    histogram.Snapshot // of these, control frames to siblings
}

// Totals adds up the pages. Packets that are under way may be missing, or be in more
// than came.
func (b *Book) Totals() (t Totals) {
	b.AddTo(&t)
	return t
}

// AddTo is Totals into a t that is empty, but may have the memory of histograms.
func (b *Book) AddTo(t *Totals) {
	var control uint64
	for i := range b.pages {
		p := &b.pages[i]
		for k := range Kinds {
			t.In[k].plus(&p.in[k])
			t.Out[k].plus(&p.out[k])
			for r := range Reasons {
				t.Lost[r][k].plus(&p.lost[r][k])
			}
		}
		t.Forwarded += p.forwarded.Load()
		t.PassedOn += p.passedOn.Load()
		control += p.control.Load()
		p.waits.AddTo(&t.Waits, float64(time.Second))
		p.bursts.AddTo(&t.Bursts, 1)
		p.flushes.AddTo(&t.Flushes, 1)
		p.news.AddTo(&t.News, 1)
	}
	out := t.Out[Disco].Packets + t.Out[Data].Packets
	t.Bursts.Sum = float64(t.In[Disco].Packets + t.In[Data].Packets)
	t.Flushes.Sum = float64(out + control)
}

func (a *Amount) plus(b *amount) {
	a.Packets += b.packets.Load()
	a.Bytes += b.bytes.Load()
}
