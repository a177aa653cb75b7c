package framequeue

import (
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/derp"
)

// A user of boxes notes what becomes of its packets.
type user struct {
	t      *testing.T
	box    Box
	pushed [Kinds]int // packets
	taken  [Kinds]int
	lost   [Kinds]int
	by     [Whys]int

	control int  // frames that wait
	inHand  int  // KiB that the stream has
	behind  bool // as the stock has been told
}

func newUser(t *testing.T, limit int) *user {
	u := &user{t: t}
	u.box.Limit = int32(limit)
	return u
}

func (u *user) Lost(why Why, kind, packets, bytes int) {
	if packets < 1 || bytes < packets*derp.HeaderLen {
		u.t.Fatalf("%d packets of %d bytes are given up", packets, bytes)
	}
	u.lost[kind] += packets
	u.by[why] += packets
}

// push queues a packet, and reports whether it waits now.
func (u *user) push(s *Stock, kind int, source uint64, size int, now int64) bool {
	size += derp.HeaderLen
	u.pushed[kind]++
	frame := u.box.Append(kind, source, size, now, 20)
	if frame == nil {
		frame, _ = u.box.Room(s, kind, source, size, now, 20, u)
	}
	if frame == nil {
		u.lost[kind]++
		return false
	}
	if len(frame) != size {
		u.t.Fatalf("room for %d bytes, want %d", len(frame), size)
	}
	derp.PutHeader(frame, derp.FrameRecvPacket, size-derp.HeaderLen)
	return true
}

// take has the stream take what is next, and be full with it or not.
func (u *user) take(s *Stock, now int64, full bool) {
	var b Batch
	u.box.Take(s, &b, derp.HeaderLen, now)
	for k := range Kinds {
		u.taken[k] += b.Packets[k]
	}
	u.control -= b.ControlFrames()
	u.inHand = kibFor(b.Size)
	b.Release()
	if full {
		u.box.FallBehind(s, true)
		u.behind = true
	} else if u.box.Empty() {
		u.catchUp(s)
	}
}

func (u *user) catchUp(s *Stock) {
	u.box.CatchUp(s)
	u.inHand, u.behind = 0, false
}

// held walks over all that is there, and returns how many KiB the stock has to count.
func (u *user) held() int {
	kib, packets := u.inHand, [Kinds]int{}
	walk := func(q *Queue) (frames int) {
		for s := q.Head; s != nil; s = s.Next() {
			kib += kibFor(len(s.buf))
			frames += s.Frames
		}
		return frames
	}
	if got := walk(&u.box.Control); got != u.control {
		u.t.Fatalf("%d control frames wait, want %d", got, u.control)
	}
	for k := range Kinds {
		fair := u.box.of(k)
		packets[k] = walk(&fair.One)
		if turns := fair.turns; turns != nil {
			kib += turnsKiB
			for i := range turns.places {
				packets[k] += walk(&turns.places[i].queue)
			}
		}
		if u.pushed[k] != u.taken[k]+u.lost[k]+packets[k] {
			u.t.Fatalf("%d packets of kind %d: %d taken, %d lost, %d wait", u.pushed[k], k, u.taken[k], u.lost[k], packets[k])
		}
	}
	if kib != u.box.Held() {
		u.t.Fatalf("%d KiB are held, but %d said", kib, u.box.Held())
	}
	if !u.behind {
		kib = max(0, kib-uncounted)
	}
	return kib
}

// Whatever is done to boxes in whatever order, the stock counts exactly what they hold,
// no more than there is, and nothing in the end.
func TestAStockCountsWhatBoxesHold(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 7))
		s := new(Stock)
		if seed%3 > 0 {
			s.Bound(int64(seed%3) << 20)
		}
		var users [12]*user
		for i := range users {
			users[i] = newUser(t, []int{100_000, 512 << 10}[i%2])
			users[i].box.Wide = i == 0
		}
		for now := range int64(3000) {
			u := users[random.IntN(len(users))]
			u.step(random, s, now)
			all := int64(0)
			for _, u := range users {
				all += int64(u.held())
			}
			if s.Used() != all<<10 || s.Most() > 0 && s.Used() > s.Most() {
				t.Fatalf("%d bytes of %d are used, held are %d", s.Used(), s.Most(), all<<10)
			}
		}
		for _, u := range users {
			if random.IntN(2) == 0 {
				u.catchUp(s)
			}
			u.box.Clear(s, u)
			u.control = 0
			u.catchUp(s)
			if u.held() != 0 || !u.box.Empty() {
				t.Fatalf("%d KiB are left", u.held())
			}
		}
		if s.Used() != 0 || s.Peak() == 0 || s.Peak() != 0 {
			t.Fatalf("%d bytes are left", s.Used())
		}
	}
}

func (u *user) step(random *rand.Rand, s *Stock, now int64) {
	switch n := random.IntN(100); {
	case n < 60:
		sources := []int{1, 3, 100}[random.IntN(3)]
		size := []int{0, 100, 1400, 9000, SegmentSize, derp.MaxPacket}[random.IntN(6)]
		for range random.IntN(20) {
			kind := min(Data, random.IntN(4))
			if size+derp.HeaderLen <= int(u.box.Limit) {
				u.push(s, kind, uint64(random.IntN(sources)), size, now)
			}
		}
	case n < 65:
		// Control frames are not the receiver's fault, and have a limit of their own.
		if s.Most() == 0 && u.box.AddControl(s, derp.AppendKeepAlive(nil), 1000) {
			u.control++
		}
	case n < 68:
		if s.Most() == 0 && u.box.AddPong(s, derp.AppendPong(nil, [derp.PingLen]byte{})) {
			u.control++
		}
	case n < 85:
		u.take(s, now, random.IntN(2) == 0)
	case n < 90:
		if !u.behind && u.inHand > 0 {
			u.box.FallBehind(s, random.IntN(2) == 0)
			u.behind = true
		}
	case n < 94:
		u.box.DropOlder(s, random.IntN(Kinds), now-int64(random.IntN(500)), u)
	case n < 97:
		u.box.Calm()
	case n < 98:
		u.box.Clear(s, u)
		u.control = 0
	default:
		for !u.box.Empty() {
			u.take(s, now, false)
		}
	}
}

// fill pushes into a box whose receiver takes nothing.
func (u *user) fill(s *Stock, packets, size int) {
	for range packets {
		u.push(s, Data, 1, size, 1)
		if !u.behind {
			u.take(s, 1, true)
		}
	}
}

// Who is flooded holds the same as others who are, however early it came, and who has
// nothing yet finds room, also if it is flooded itself as soon as it has some.
func TestAStockIsSharedFairly(t *testing.T) {
	for _, size := range []int{100, 1400, derp.MaxPacket} {
		s := new(Stock)
		s.Bound(16 << 20)
		first := newUser(t, 8<<20)
		first.fill(s, 20_000_000/(size+100), size)
		if held := first.box.Held(); held < 512 || int64(held)<<10 > s.Most()/share {
			t.Errorf("packets of %d: one alone holds %d KiB", size, held)
		}
		users := []*user{first}
		for range 99 {
			users = append(users, newUser(t, 8<<20))
		}
		for range 20 {
			for _, u := range users {
				u.fill(s, 20_000/(size+100)+1, size)
			}
		}
		least, most := users[0].box.Held(), 0
		for _, u := range users {
			least, most = min(least, u.box.Held()), max(most, u.box.Held())
		}
		if unit := kibFor(max(size+derp.HeaderLen, SegmentSize)); least < 64 || most-least > 2*unit {
			t.Errorf("packets of %d: of 100, one holds %d KiB and another %d", size, least, most)
		}
		if left := s.Most() - s.Used(); left < s.Most()/kept {
			t.Errorf("packets of %d: of %d bytes, %d are left", size, s.Most(), left)
		}
		fresh := newUser(t, 512<<10)
		for n := range 10 {
			if !fresh.push(s, Data, 9, 1400, 2) || !fresh.push(s, Disco, 9, 60, 2) {
				t.Errorf("packets of %d: somebody else loses packet %d", size, n)
			}
		}
	}
}

// Very many who are behind leave something for who is not.
func TestManySlowOnesLeaveRoom(t *testing.T) {
	s := new(Stock)
	s.Bound(16 << 20)
	for range 3 {
		for range 200 {
			u := newUser(t, 512<<10)
			u.fill(s, 3, derp.MaxPacket)
			u.fill(s, 3, 1400)
		}
		if s.Used() > s.Most()*15/16 {
			t.Errorf("%d bytes of %d are used", s.Used(), s.Most())
		}
		if fresh := newUser(t, 512<<10); !fresh.push(s, Data, 9, 1400, 2) {
			t.Error("somebody else finds no room")
		}
	}
}

func TestAStockWithoutBound(t *testing.T) {
	s := new(Stock)
	u := newUser(t, 32<<20)
	u.fill(s, 400, derp.MaxPacket)
	if u.lost[Data] != 0 || s.Used() < 400*derp.MaxPacket {
		t.Errorf("%d packets lost, %d bytes used", u.lost[Data], s.Used())
	}
}

// Who becomes faster is not held to have been slow for ever.
func TestSlowOnesAreForgiven(t *testing.T) {
	s := new(Stock)
	s.Bound(1 << 20)
	u, other := newUser(t, 512<<10), newUser(t, 512<<10)
	u.take(s, 1, true)
	other.box.Wide = true
	other.fill(s, 10, derp.MaxPacket)
	s.used.Store(s.most.Load() - SegmentSize>>10) // as others would
	if u.catchUp(s); u.push(s, Data, 1, 100, 1) {
		t.Error("who was slow has the last room")
	}
	u.box.Calm()
	if !u.push(s, Data, 1, 100, 1) {
		t.Error("who was slow long ago has no room")
	}
}
