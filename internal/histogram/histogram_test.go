package histogram

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
)

// A histogram is held against the list of its values, with many of them at a bound.
func TestHistogramIsAListOfValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 14))
	for _, bounds := range [][]int64{nil, {7}, OneTwoFive(1, 100_000)} {
		var h Histogram
		h.Init(bounds...)
		want := Snapshot{Bounds: []float64{}, Counts: make([]uint64, len(bounds)+1)}
		for _, b := range bounds {
			want.Bounds = append(want.Bounds, float64(b))
		}
		for range 2000 {
			value, n := random.Int64N(200_000), 1+random.IntN(5)
			if len(bounds) > 0 && random.IntN(2) == 0 {
				value = bounds[random.IntN(len(bounds))] + random.Int64N(3) - 1
			}
			h.Add(value, n)
			i, _ := slices.BinarySearch(bounds, value)
			want.Counts[i] += uint64(n)
			want.Sum += float64(value * int64(n))
		}
		if got := h.Snapshot(1); !reflect.DeepEqual(got, want) {
			t.Errorf("bounds %v: %+v, want %+v", bounds, got, want)
		}
	}
}

func TestSnapshotHasItsUnit(t *testing.T) {
	var h Histogram
	h.Init(10_000_000, 20_000_000)
	h.Add(15_000_000, 2)
	h.Count(math.MaxInt64, 1)
	h.AddSum(10_000_000)
	got, want := h.Snapshot(1e9), Snapshot{Bounds: []float64{0.01, 0.02}, Counts: []uint64{0, 2, 1}, Sum: 0.04}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.AddTo(&got, 1e9)
	want.Counts, want.Sum = []uint64{0, 4, 2}, 0.08
	if !reflect.DeepEqual(got, want) {
		t.Errorf("twice: %+v, want %+v", got, want)
	}
}

func TestOneTwoFive(t *testing.T) {
	for _, c := range []struct {
		from, to int64
		want     []int64
	}{
		{1, 1, []int64{1}},
		{1, 4, []int64{1, 2}},
		{10, 500, []int64{10, 20, 50, 100, 200, 500}},
		{2, 1, nil},
	} {
		if got := OneTwoFive(c.from, c.to); !slices.Equal(got, c.want) {
			t.Errorf("from %d to %d: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

func TestTooManyBoundsArePointedOut(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("they are taken")
		}
	}()
	new(Histogram).Init(make([]int64, MostBounds+1)...)
}

// Nothing is lost when all add at once.
func TestAddAtOnce(t *testing.T) {
	const adders, each = 8, 1000
	var h Histogram
	h.Init(1, 2)
	var all sync.WaitGroup
	for i := range adders {
		all.Go(func() {
			for range each {
				h.Add(int64(i%4), 2)
				h.Snapshot(1)
			}
		})
	}
	all.Wait()
	want := Snapshot{Bounds: []float64{1, 2}, Counts: []uint64{8000, 4000, 4000}, Sum: 24_000}
	if got := h.Snapshot(1); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAddAllocatesNothing(t *testing.T) {
	var h Histogram
	h.Init(OneTwoFive(1, 1000)...)
	if n := testing.AllocsPerRun(100, func() { h.Add(77, 3) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
