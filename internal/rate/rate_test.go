package rate

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

const ms = time.Millisecond

type step struct {
	at   time.Duration
	n    int
	want bool
}

func TestTake(t *testing.T) {
	three := Limit{PerSecond: 1, Burst: 3}
	for name, c := range map[string]struct {
		limit Limit
		steps []step
	}{
		"burst":                 {three, []step{{ms, 1, true}, {ms, 1, true}, {ms, 1, true}, {ms, 1, false}, {2 * ms, 1, false}}},
		"then one a second":     {three, []step{{0, 3, true}, {999 * ms, 1, false}, {1000 * ms, 1, true}, {1000 * ms, 1, false}, {2000 * ms, 1, true}}},
		"refusals cost nothing": {three, []step{{0, 3, true}, {500 * ms, 1, false}, {999 * ms, 1, false}, {1000 * ms, 1, true}}},
		"fills up to the burst": {three, []step{{0, 1, true}, {time.Hour, 4, false}, {time.Hour, 3, true}, {time.Hour, 1, false}}},
		"several at once":       {three, []step{{0, 2, true}, {0, 2, false}, {0, 1, true}}},
		"never more than fits":  {three, []step{{time.Hour, 4, false}}},
		"nothing is always had": {three, []step{{0, 3, true}, {0, 0, true}}},
		"no limit":              {Limit{Burst: 1}, []step{{0, 1 << 30, true}, {0, 1 << 30, true}}},
		"no burst":              {Limit{PerSecond: 1e9}, []step{{time.Hour, 1, false}}},
		"slower than time lasts": {Limit{PerSecond: 1e-300, Burst: 1e300},
			[]step{{0, 1, true}, {0, 1, true}, {math.MaxInt64, 1, true}}},
		"bytes of a fast line": {Limit{PerSecond: 1e9, Burst: 3000},
			[]step{{0, 1400, true}, {0, 1400, true}, {0, 1400, false}, {1200, 1400, true}, {1200, 1, false}}},
	} {
		var b Bucket
		for i, s := range c.steps {
			if got := b.Take(c.limit, s.n, s.at); got != s.want {
				t.Errorf("%s: step %d, %d at %v: %v", name, i, s.n, s.at, got)
			}
		}
	}
}

// A limit that is lowered holds from then on, whatever was taken before.
func TestLimitChangesInUse(t *testing.T) {
	var b Bucket
	fast, slow := Limit{PerSecond: 1000, Burst: 1000}, Limit{PerSecond: 1, Burst: 1}
	if !b.Take(fast, 500, 0) {
		t.Fatal("the fast limit has room")
	}
	if b.Take(slow, 1, 499*ms) {
		t.Error("half a second is owed, which is more than half a token")
	}
	if !b.Take(slow, 1, 500*ms) || b.Take(slow, 1, 1499*ms) || !b.Take(slow, 1, 1500*ms) {
		t.Error("the slow limit does not hold")
	}
}

// plain is the bucket as books have it.
type plain struct{ tokens, filled float64 }

// take also reports how far it was from deciding otherwise.
func (b *plain) take(l Limit, n int, now time.Duration) (ok bool, margin float64) {
	at := now.Seconds()
	b.tokens = min(l.Burst, b.tokens+(at-b.filled)*l.PerSecond)
	b.filled = at
	margin = math.Abs(b.tokens - float64(n))
	if b.tokens < float64(n) {
		return false, margin
	}
	b.tokens -= float64(n)
	return true, margin
}

func TestTakeIsAPlainTokenBucket(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		limit := Limit{PerSecond: math.Exp(r.Float64() * 18), Burst: 1 + r.Float64()*1e5}
		var b Bucket
		model := plain{tokens: limit.Burst}
		for now := time.Duration(0); now < time.Hour; now += time.Duration(r.ExpFloat64() * float64(10*time.Second)) {
			n := r.IntN(int(1.2*limit.Burst) + 1)
			want, margin := model.take(limit, n, now)
			got := b.Take(limit, n, now)
			if got == want {
				continue
			}
			// Rounding to nanoseconds may decide a tie; then the two must part.
			if margin > 1e-6*limit.PerSecond+1e-6 {
				t.Fatalf("seed %d, %+v: %d at %v: %v, want %v (by %v)", seed, limit, n, now, got, want, margin)
			}
			break
		}
	}
}

// Over any time no more comes through than the burst and what fills in.
func TestTakeBound(t *testing.T) {
	limit := Limit{PerSecond: 1, Burst: 3}
	var b Bucket
	taken := 0
	for now := time.Duration(0); now < time.Minute; now += 7 * ms {
		if b.Take(limit, 1, now) {
			taken++
		}
	}
	if taken != 62 {
		t.Errorf("%d in a minute, want 62", taken)
	}
}

func TestBucketIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Bucket{}); size > 8 {
		t.Errorf("a bucket has %d bytes", size)
	}
	var b Bucket
	if n := testing.AllocsPerRun(100, func() { b.Take(Limit{PerSecond: 5, Burst: 5}, 1, time.Second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
