package limit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// plainBucket is a bucket as one would write it down: tokens, and the time.
type plainBucket struct {
	tokens, burst, perSecond float64
	at                       int64
}

func (b *plainBucket) fill(now int64) {
	b.tokens = min(b.burst, b.tokens+b.perSecond*float64(now-b.at)/1e9)
	b.at = now
}

func (b *plainBucket) owes(now int64) time.Duration {
	b.fill(now)
	return time.Duration(max(0, -b.tokens/b.perSecond*1e9))
}

func TestBucketIsAPlainOne(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		perSecond := int64(math.Exp(random.Float64()*16)) + Slowest
		burst := random.Int64N(3 * perSecond)
		r := newRate(perSecond, burst)
		plain := plainBucket{burst: float64(burstOf(perSecond, burst)), perSecond: float64(perSecond)}
		plain.tokens = plain.burst
		var b bucket
		now := int64(0)
		for range 300 {
			now += random.Int64N(int64(2 * time.Second))
			n := random.IntN(200_000)
			plain.fill(now)
			plain.tokens -= float64(n)
			b.charge(r, n, now)
			got, want := b.owes(r, now), plain.owes(now)
			if diff := (got - want).Abs(); diff > time.Microsecond {
				t.Fatalf("%d bytes a second, burst %d: owes %v, want %v", perSecond, burst, got, want)
			}
		}
	}
}

// Who rests for what he owes gets what the limit says, and his burst once.
func TestWhoRestsGetsHisRate(t *testing.T) {
	for _, perSecond := range []int64{Slowest, 125_000, 12_500_000, 1_250_000_000} {
		r := newRate(perSecond, 0)
		var b bucket
		now, sent := int64(1), int64(0)
		for now < int64(10*time.Second) {
			b.charge(r, 1400, now)
			sent += 1400
			now += 1000 + int64(b.owes(r, now))
		}
		want := 10*perSecond + burstOf(perSecond, 0)
		if limit := int64(1400 * 1_000_000_0); perSecond > limit/10 {
			want = min(want, 14_000_000_000)
		}
		if math.Abs(float64(sent-want)) > 0.01*float64(want)+1400 {
			t.Errorf("%d bytes a second: %d bytes in 10 s, want %d", perSecond, sent, want)
		}
	}
}

func TestLimitsHaveBounds(t *testing.T) {
	if r := newRule(Limits{In: -1, Out: 0, Burst: 5}); r != nil {
		t.Errorf("nothing is limited by %+v", r)
	}
	if got := newRule(Limits{In: 1, Out: math.MaxInt64}).limits(); got.In != Slowest || got.Out != fastest {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct {
		l                Limits
		perSecond, burst int64
	}{
		{Limits{}, 0, 0},
		{Limits{Out: 1e6, Burst: 1e6}, 0, 0},
		{Limits{In: 10_000}, 10_000, Smallest},
		{Limits{In: 1e6}, 1e6, 1e6},
		{Limits{In: 1e6, Burst: 100}, 1e6, Smallest},
		{Limits{In: 1e6, Burst: 5e6}, 1e6, 5e6},
	} {
		if perSecond, burst := c.l.Told(); perSecond != c.perSecond || burst != c.burst {
			t.Errorf("%+v is told as %d, %d", c.l, perSecond, burst)
		}
	}
	var b bucket
	r := newRate(Slowest, math.MaxInt64)
	for range 100 {
		b.charge(r, math.MaxInt32, 5)
		b.charge(r, math.MaxInt32, math.MaxInt64-1)
	}
	if b.owes(r, 5) < 0 {
		t.Error("the time has run over")
	}
}
