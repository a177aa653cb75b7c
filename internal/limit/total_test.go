package limit

import (
	"fmt"
	"testing"
	"time"
)

// A user wants some of the total: everything, or a piece now and then.
type user struct {
	key   *Key
	piece int
	every time.Duration // 0: always, as soon as it may

	next   int64
	got    int64
	rested time.Duration
	rests  int
}

// play lets users charge for so long, and returns how much they all got.
func play(from, to int64, users []*user) (sum int64) {
	for now := from; now < to; now += int64(100 * time.Microsecond) {
		for _, u := range users {
			if now < u.next {
				continue
			}
			u.got += int64(u.piece)
			sum += int64(u.piece)
			rest := u.key.In(u.piece, now).For
			if rest > 0 {
				u.rests++
				u.rested += rest
			}
			u.next = max(now+int64(rest), u.next+int64(u.every))
		}
	}
	return sum
}

// members joins n keys that only a total limits.
func members(n int, perSecond int64) (*Keys, []*Key) {
	ks := new(Keys)
	ks.Set(Rules{Total: perSecond}, 1)
	var keys []*Key
	for i := range n {
		m := new(Member)
		ks.Apply(m, [32]byte{byte(i), byte(i >> 8)}, "", 1)
		keys = append(keys, m.Key())
	}
	return ks, keys
}

const second = int64(time.Second)

func TestTotalIsSharedFairly(t *testing.T) {
	for _, c := range []struct {
		greedy    int
		perSecond int64
		piece     int
	}{
		{1, 25_000_000, 20_000}, {2, 25_000_000, 64_000}, {10, 25_000_000, 16_000}, {10, 1_250_000, 4000}, {100, 125_000_000, 20_000},
		{300, 125_000_000, 4000}, {3, 1_000_000_000, 64_000},
	} {
		t.Run(fmt.Sprint(c.greedy, " keys ", c.perSecond), func(t *testing.T) {
			_, keys := members(c.greedy, c.perSecond)
			var users []*user
			for _, k := range keys {
				users = append(users, &user{key: k, piece: c.piece})
			}
			play(second, 2*second, users) // what they may use at once
			for _, u := range users {
				u.got = 0
			}
			sum := play(2*second, 7*second, users)
			if want := 5 * c.perSecond; float64(sum) < 0.97*float64(want) || float64(sum) > 1.03*float64(want) {
				t.Errorf("%d bytes in 5 s, want %d", sum, want)
			}
			least, most := users[0].got, users[0].got
			for _, u := range users {
				least, most = min(least, u.got), max(most, u.got)
			}
			if float64(most) > 1.05*float64(least)+float64(2*c.piece) {
				t.Errorf("from %d to %d", least, most)
			}
		})
	}
}

// Whoever stays below his share is never made to wait, and has what he wants.
func TestQuietKeysNeverWait(t *testing.T) {
	const perSecond = 25_000_000
	_, keys := members(15, perSecond)
	quiet := []*user{
		{key: keys[10], piece: 100, every: 5 * time.Millisecond},
		{key: keys[11], piece: 1400, every: time.Millisecond},
		{key: keys[12], piece: 64_000, every: 100 * time.Millisecond},
		{key: keys[13], piece: 128_000, every: time.Second},
		{key: keys[14], piece: 1400, every: time.Millisecond},
	}
	users := quiet[:4:4]
	for _, k := range keys[:10] {
		users = append(users, &user{key: k, piece: 16_000})
	}
	quiet[4].next = 3 * second // comes later
	users = append(users, quiet[4])
	sum := play(second, 6*second, users)
	for i, u := range quiet {
		if u.rests > 0 {
			t.Errorf("quiet key %d rested %d times, for %v", i, u.rests, u.rested)
		}
	}
	if want := float64(5 * perSecond); float64(sum) < 0.95*want || float64(sum) > 1.05*want {
		t.Errorf("%d bytes in 5 s, want %.0f", sum, want)
	}
}

// What some do not want is for the others, and what a key that leaves has had, too.
func TestWhatIsLeftOverIsUsed(t *testing.T) {
	const perSecond = 10_000_000
	_, keys := members(4, perSecond)
	users := []*user{
		{key: keys[0], piece: 1000, every: time.Millisecond},
		{key: keys[1], piece: 10_000}, {key: keys[2], piece: 10_000}, {key: keys[3], piece: 10_000},
	}
	play(second, 2*second, users)
	users[1].got, users[2].got = 0, 0
	play(2*second, 6*second, users)
	if got, want := float64(users[1].got), 4*9e6/3; got < 0.95*want || got > 1.05*want {
		t.Errorf("one of three has %.0f of %.0f", got, want)
	}
	users = users[:2] // the others leave in the middle of a rest
	play(6*second, 6*second+second/4, users)
	users[1].got = 0
	play(6*second+second/4, 8*second, users)
	if got, want := float64(users[1].got), 1.75*9e6; got < 0.95*want || got > 1.05*want {
		t.Errorf("who is left has %.0f of %.0f", got, want)
	}
}

func TestTotalChangesAtOnce(t *testing.T) {
	ks, keys := members(5, 1_000_000)
	var users []*user
	for _, k := range keys {
		users = append(users, &user{key: k, piece: 4000})
	}
	play(second, 3*second, users)
	ks.Set(Rules{Total: 10_000_000}, 3*second)
	play(3*second, 3*second+second/2, users)
	if sum := play(3*second+second/2, 5*second, users); sum < 14_000_000 || sum > 16_000_000 {
		t.Errorf("%d bytes in 1.5 s after it was raised", sum)
	}
	ks.Set(Rules{}, 5*second)
	if rest := keys[0].In(1<<30, 5*second); rest.For != 0 || keys[0].Owes(5*second) != 0 {
		t.Errorf("%v without a total", rest)
	}
	ks.Set(Rules{Total: 10_000_000}, 6*second)
	if rest := keys[0].In(1000, 6*second); rest.For > time.Second {
		t.Errorf("%v for what was used while there was no total", rest)
	}
}

// Nothing saves up: after an hour without anybody all is as in the beginning.
func TestIdleTimeIsNotSavedUp(t *testing.T) {
	const perSecond = 1_000_000
	_, keys := members(3, perSecond)
	play(second, 2*second, []*user{{key: keys[0], piece: 1400}})
	u := []*user{{key: keys[1], piece: 1400}, {key: keys[2], piece: 1400}}
	if sum := play(3600*second, 3605*second, u); sum > 5*perSecond*11/10+2*spare {
		t.Errorf("%d bytes in 5 s", sum)
	}
}

func TestChargingAllocatesNothing(t *testing.T) {
	ks, keys := members(3, 1_000_000_000)
	ks.Set(Rules{Each: Limits{In: 1e9, Out: 1e9}, Total: 1e9}, 1)
	now := int64(1)
	if n := testing.AllocsPerRun(1000, func() {
		now += 1000
		keys[0].In(1400, now)
		keys[1].Out(1400, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
