package ledger

import (
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"github.com/detour-relay/detour/internal/framequeue"
)

const overhead = 37

// batchOf returns a batch with so many packets of each kind, of 10 bytes each, which were
// queued at 1000 and are taken at now, behind so many control frames.
func batchOf(control int, packets [Kinds]int, now int64) *framequeue.Batch {
	b := new(framequeue.Batch)
	var q framequeue.Queue
	for range control {
		q.Extend(8, 0, 0)
	}
	if control > 0 {
		b.AddControls(q.Take())
	}
	for k, n := range packets {
		var q framequeue.Queue
		for range n {
			q.Extend(overhead+10, 1000, 0)
		}
		if n > 0 {
			b.AddPackets(q.Take(), k, overhead, now)
		}
	}
	return b
}

// Every page counts for the whole book, and each histogram has what its sum says.
func TestBookAddsUp(t *testing.T) {
	random := rand.New(rand.NewPCG(14, 1))
	var b Book
	b.Init()
	var want Totals
	var bursts, flushes, control, news uint64
	for n := range uint64(2000) {
		p, k := b.Page(n), Kind(random.IntN(int(Kinds)))
		packets := [Kinds]int{random.IntN(3), random.IntN(40)}
		all := packets[Disco] + packets[Data]
		size := func(to *[Kinds]Amount) {
			for k := range Kinds {
				to[k].add(packets[k], 10*packets[k])
			}
		}
		switch random.IntN(4) {
		case 0:
			p.Received(&packets, &[Kinds]int{10 * packets[Disco], 10 * packets[Data]}, all/2)
			size(&want.In)
			want.Forwarded += uint64(all / 2)
			if all > 0 {
				bursts++
			}
		case 1:
			controls, passOn := random.IntN(3), random.IntN(2) == 0
			p.Sent(batchOf(controls, packets, 6000), passOn)
			p.News(controls)
			size(&want.Out)
			if passOn {
				want.PassedOn += uint64(all)
			}
			flushes++
			control += uint64(controls)
			if controls > 0 {
				news++
			}
		case 2:
			p.Failed(batchOf(1, packets, 6000))
			size(&want.Lost[WriteError])
		case 3:
			r := Reason(random.IntN(int(Reasons)))
			p.Lost(r, k, packets[k], 10*packets[k])
			want.Lost[r][k].add(packets[k], 10*packets[k])
		}
	}
	got := b.Totals()
	if got.In != want.In || got.Out != want.Out || got.Lost != want.Lost || got.Forwarded != want.Forwarded || got.PassedOn != want.PassedOn {
		t.Errorf("%+v, want %+v", got, want)
	}
	in, out := want.In[Disco].Packets+want.In[Data].Packets, want.Out[Disco].Packets+want.Out[Data].Packets
	for name, c := range map[string]struct {
		counts []uint64
		n      uint64
		sum    float64
		want   float64
	}{
		"bursts":  {got.Bursts.Counts, bursts, got.Bursts.Sum, float64(in)},
		"waits":   {got.Waits.Counts, out, got.Waits.Sum * 1e9, 5000 * float64(out)},
		"flushes": {got.Flushes.Counts, flushes, got.Flushes.Sum, float64(out + control)},
		"news":    {got.News.Counts, news, got.News.Sum, float64(control)},
	} {
		var n uint64
		for _, of := range c.counts {
			n += of
		}
		if off := c.sum - c.want; n != c.n || off < -0.5 || off > 0.5 {
			t.Errorf("%s: %d of them, %v in all, want %d and %v", name, n, c.sum, c.n, c.want)
		}
	}
}

func TestAccount(t *testing.T) {
	var a Account
	sent, failed := batchOf(2, [Kinds]int{1, 2}, 1007), batchOf(0, [Kinds]int{0, 5}, 1001)
	a.Send(sent)
	a.Send(failed)
	a.Fail(failed)
	a.Lose(2, 300)
	want := Account{Sent: Amount{3, 30}, Lost: Amount{7, 350}, Waited: 21}
	if a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
}

// Nothing is lost when all count at once, in the same page and in others.
func TestBookAtOnce(t *testing.T) {
	const writers, each = 8, 500
	var b Book
	b.Init()
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			batch := batchOf(1, [Kinds]int{1, 1}, 2000)
			for range each {
				p := b.Page(uint64(n % 3))
				p.Received(&batch.Packets, &batch.Bytes, 1)
				p.Sent(batch, true)
				p.Lost(QueueHead, Disco, 1, 10)
				b.Totals()
			}
		})
	}
	all.Wait()
	one := Amount{writers * each, 10 * writers * each}
	got := b.Totals()
	if got.In != [Kinds]Amount{one, one} || got.Out != got.In || got.Lost[QueueHead][Disco] != one || got.Forwarded != one.Packets || got.PassedOn != 2*one.Packets {
		t.Errorf("%+v", got)
	}
	if got.Flushes.Sum != float64(3*one.Packets) || got.Bursts.Sum != float64(2*one.Packets) {
		t.Errorf("%+v, %+v", got.Flushes, got.Bursts)
	}
}

// An empty book has all its buckets.
func TestEmptyBook(t *testing.T) {
	var b Book
	b.Init()
	got := b.Totals()
	for name, h := range map[string]any{"waits": got.Waits.Counts, "bursts": got.Bursts.Counts, "flushes": got.Flushes.Counts, "news": got.News.Counts} {
		if reflect.ValueOf(h).Len() < 10 {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestReasonsAndKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range Reasons {
		seen[r.String()] = true
	}
	for k := range Kinds {
		seen[k.String()] = true
	}
	if len(seen) != int(Reasons)+int(Kinds) || seen[""] {
		t.Errorf("%v", seen)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	var b Book
	b.Init()
	batch := batchOf(1, [Kinds]int{1, 20}, 5000)
	if n := testing.AllocsPerRun(100, func() {
		p := b.Page(77)
		p.Received(&batch.Packets, &batch.Bytes, 0)
		p.Sent(batch, false)
		p.Lost(QueueAge, Data, 1, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
