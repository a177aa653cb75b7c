package coordstate

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/detour-relay/detour/internal/coordstore"
)

type counter struct{ wakes, displaced int }

func (c *counter) Wake()     { c.wakes++ }
func (c *counter) Displace() { c.displaced++ }

func kinds(b Batch) (n map[string]int) {
	n = map[string]int{}
	for _, line := range bytes.Split(bytes.Join(b.Lines, nil), []byte("\n")) {
		if _, rest, ok := bytes.Cut(line, []byte(`{"type":"`)); ok {
			kind, _, _ := bytes.Cut(rest, []byte(`"`))
			n[string(kind)]++
		}
	}
	return n
}

// Who takes nothing for long falls behind the ring, and is told of each member that
// has changed once, not of each change, and without a snapshot.
func TestASlowSubGoesOnWithoutASnapshot(t *testing.T) {
	s := fill(1, 50)
	const id = "t000000000000"
	var c counter
	sub := s.Subscribe(id, numberedKey(1), "", &c)
	if got := kinds(s.Take(sub)); got["snapshot"] != 1 || got["peer"] != 49 || got["self"] != 1 || got["at"] != 1 {
		t.Fatalf("%v", got)
	}
	soft := s.Watcher(coordstore.Soft(coordstore.SoftOf(id)))
	for n := range 5 * mostRing {
		k := numberedKey(2 + n%10)
		soft.Entry(coordstore.Entry{Key: SoftKey(id, k), Value: Encode(SoftRecord{Boot: 1, Seq: uint64(n), Home: int32(n + 1)}), Revision: uint64(1000 + n)})
	}
	if ring := len(sub.net.feed.ring); ring >= mostRing {
		t.Errorf("the ring has %d changes", ring)
	}
	b := s.Take(sub)
	if got := kinds(b); got["snapshot"] != 0 || got["resumed"] != 0 || got["peer"] != 10 || got["at"] != 1 {
		t.Errorf("%v", got)
	}
	if last := fmt.Sprintf(`"home":%d,`, 5*mostRing); !bytes.Contains(bytes.ReplaceAll(bytes.Join(b.Lines, nil), []byte("}}"), []byte(",")), []byte(last)) {
		t.Errorf("the last home is not told: %s", b.Lines)
	}
	if c.wakes != 5*mostRing {
		t.Errorf("%d wakes", c.wakes)
	}
	s.Unsubscribe(sub)
	if sub.net.feed != nil {
		t.Error("the ring stays when nobody watches")
	}
}

// Removals that the tailnet's record has forgotten make a snapshot of a cursor from
// before them, and only of that.
func TestForgottenRemovals(t *testing.T) {
	s := fill(1, 3)
	const id = "t000000000000"
	var c counter
	take := func(cursor string) (map[string]int, string) {
		sub := s.Subscribe(id, numberedKey(1), cursor, &c)
		defer s.Unsubscribe(sub)
		got := kinds(s.Take(sub))
		return got, s.Cursor(sub)
	}
	_, old := take("")
	hard := s.Watcher(coordstore.Hard)
	rec := TailnetRecord{Name: "x", ULA: "0123456789", Next: 9, Gone: []Gone{{Key: numberedKey(2), Joined: 1_800_000_000, After: 1}}}
	hard.Entry(coordstore.Entry{Key: TailnetKey(id), Value: Encode(rec), Revision: 100})
	got, later := take(old)
	if got["resumed"] != 1 || got["gone"] != 1 {
		t.Errorf("%v", got)
	}
	rec.Gone, rec.Floor = nil, 100
	hard.Entry(coordstore.Entry{Key: MemberKey(id, numberedKey(2)), Revision: 101})
	hard.Entry(coordstore.Entry{Key: TailnetKey(id), Value: Encode(rec), Revision: 102})
	if got, _ := take(old); got["snapshot"] != 1 || got["peer"] != 1 {
		t.Errorf("old: %v", got)
	}
	if got, _ := take(later); got["resumed"] != 1 || got["gone"] != 0 || got["snapshot"] != 0 {
		t.Errorf("later: %v", got)
	}
}

// A cursor that has seen more than this coordinator waits, and is told nothing old.
func TestACoordinatorThatIsBehindWaits(t *testing.T) {
	s := fill(1, 3)
	const id = "t000000000000"
	var c counter
	ahead := s.cursor(s.tailnets[id])
	ahead.Hard += 5
	sub := s.Subscribe(id, numberedKey(1), ahead.Text(), &c)
	defer s.Unsubscribe(sub)
	soft := s.Watcher(coordstore.Soft(coordstore.SoftOf(id)))
	soft.Entry(coordstore.Entry{Key: SoftKey(id, numberedKey(2)), Value: Encode(SoftRecord{Boot: 1, Home: 77}), Revision: 1000})
	for range 3 {
		if b := s.Take(sub); !b.Waits || kinds(b)["peer"] != 0 || kinds(b)["at"] != 0 {
			t.Errorf("%v %q", b.Waits, b.Lines)
		}
	}
	s.Watcher(coordstore.Hard).Entry(coordstore.Entry{Key: MemberKey(id, numberedKey(2)), Value: Encode(MemberRecord{Name: "new", Index: 2, Joined: 1}), Revision: ahead.Hard})
	b := s.Take(sub)
	if b.Waits || kinds(b)["peer"] != 1 || !bytes.Contains(bytes.Join(b.Lines, nil), []byte(`"name":"new"`)) {
		t.Errorf("%v %q", b.Waits, b.Lines)
	}
}

// Who was removed and has joined again, which a watcher may be told of as one change,
// has none of its old streams: otherwise it would be online for ever.
func TestStreamsOfAnEarlierMembershipDoNotCount(t *testing.T) {
	s := fill(1, 5)
	const id = "t000000000000"
	k := numberedKey(1)
	old := s.Subscribe(id, k, "", &counter{})
	m, _ := s.Find(id, k)
	s.Watcher(coordstore.Hard).Entry(coordstore.Entry{Key: MemberKey(id, k), Revision: 1 << 40,
		Value: Encode(MemberRecord{Name: m.Name, Index: m.Index, Joined: m.Joined + 1})})
	if b := s.Take(old); !b.Removed {
		t.Errorf("%+v", b)
	}
	s.Unsubscribe(old)
	if p, _ := s.Peer(id, k); p.Online == nil || *p.Online {
		t.Error("it is online")
	}
}

// A coordinator that was left out a change, because another follows, still has the one
// before it. It tells nothing until what follows has come, whatever else has: neither
// to who has seen the one that was left out, nor to others, whose cursor would have it.
func TestWhatWasLeftOutIsWaitedFor(t *testing.T) {
	s := fill(1, 3)
	const id = "t000000000000"
	soft, hard := s.Watcher(coordstore.Soft(coordstore.SoftOf(id))), s.Watcher(coordstore.Hard)
	now := s.cursor(s.tailnets[id])
	at := now.Soft
	report := func(n int, home int32, rev, behind uint64) {
		soft.Entry(coordstore.Entry{Key: SoftKey(id, numberedKey(n)), Value: Encode(SoftRecord{Boot: 1, Home: home}), Revision: rev, Behind: behind})
	}
	report(2, 35, at+1, 2)
	// At at+2 the second had 36, which another coordinator has told; at+4 is 37.
	report(3, 1, at+3, 1)
	ahead := now
	ahead.Soft = at + 2
	var c counter
	subs := []*Sub{s.Subscribe(id, numberedKey(1), ahead.Text(), &c), s.Subscribe(id, numberedKey(1), now.Text(), &c), s.Subscribe(id, numberedKey(3), "", &c)}
	hard.Entry(coordstore.Entry{Key: MemberKey(id, numberedKey(2)), Value: Encode(MemberRecord{Name: "new", Index: 2, Joined: 2}), Revision: now.Hard + 1})
	for i, sub := range subs {
		defer s.Unsubscribe(sub)
		if b := s.Take(sub); len(b.Lines) > 0 || b.Removed {
			t.Errorf("%d: %q", i, b.Lines)
		}
	}
	c.wakes = 0
	report(2, 37, at+4, 0)
	if c.wakes < len(subs) {
		t.Errorf("%d of %d are woken", c.wakes, len(subs))
	}
	for i, sub := range subs {
		if b := s.Take(sub); b.Waits || !bytes.Contains(bytes.Join(b.Lines, nil), []byte(`"home":37`)) {
			t.Errorf("%d: %v %q", i, b.Waits, b.Lines)
		}
	}
}

// A load tells of what stands; what was changed while it went on comes after it.
func TestALoadIsWholeWhenNothingIsBehindIt(t *testing.T) {
	for behind, whole := range map[uint64]uint64{0: 9, 3: 0} {
		s := New("a")
		w := s.Watcher(coordstore.Soft(0))
		w.Begin("1")
		w.Entry(coordstore.Entry{Key: KeyTick, Value: []byte("1"), Revision: 4, Behind: behind + 1})
		w.Entry(coordstore.Entry{Key: KeyTick, Value: []byte("1"), Revision: 9, Behind: behind})
		w.Current()
		if got := s.softs[0].whole; got != whole {
			t.Errorf("with %d behind it: whole up to %d, want %d", behind, got, whole)
		}
		w.Entry(coordstore.Entry{Key: KeyTick, Value: []byte("1"), Revision: 12})
		if got := s.softs[0].whole; got != 12 {
			t.Errorf("after the last change: whole up to %d", got)
		}
		w.Begin("1")
		w.Entry(coordstore.Entry{Key: KeyTick, Value: []byte("1"), Revision: 12})
		w.Current()
		if got := s.softs[0].whole; got != 12 {
			t.Errorf("after another load: whole up to %d", got)
		}
	}
}

// Each record that cannot be read is counted, whatever it is of; what was deleted is none.
func TestRecordsThatCannotBeReadAreCounted(t *testing.T) {
	hard, soft := coordstore.Hard, coordstore.Soft(coordstore.SoftOf("t"))
	k := numberedKey(1)
	for n, record := range []struct{ bucket, key string }{
		{hard, TailnetKey("t")}, {hard, MemberKey("t", k)}, {hard, RelayKey("r")}, {hard, KeyMap}, {soft, SoftKey("t", k)}, {soft, "nonsense"},
	} {
		s := New("a")
		w := s.Watcher(record.bucket)
		w.Begin("1")
		w.Entry(coordstore.Entry{Key: record.key, Value: []byte("no record"), Revision: 1})
		w.Current()
		if got := s.Totals().BadRecords; got != 1 {
			t.Errorf("%s: %d are counted", record.key, got)
		}
		if n < 4 {
			w.Entry(coordstore.Entry{Key: record.key, Revision: 2})
			if got := s.Totals().BadRecords; got != 1 {
				t.Errorf("%s is deleted: %d are counted", record.key, got)
			}
		}
	}
}
