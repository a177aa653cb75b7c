package relay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/framequeue"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/key"
)

// waiting is a packet in the model of an outbox: a plain list per kind.
type waiting struct {
	id, size int
	at       int64
}

func (w waiting) frame() int { return recvOverhead + w.size }

// outboxModel says in the obvious way what an outbox does.
type outboxModel struct {
	t       *testing.T
	out     *outbox
	book    ledger.Book
	now     int64
	nextID  int
	limit   int
	packets [ledger.Kinds][]waiting
	control [][]byte
	dropped [ledger.Reasons][ledger.Kinds]int
	lost    int // of dropped, before it was closed

	sent     ledger.Amount
	waited   int64 // by those sent
	mistaken int64 // how far the outbox may be off with it
}

// looseOutbox returns an outbox in front of no stream, of a relay of its own.
func looseOutbox(limit int, age time.Duration, page *ledger.Page) *outbox {
	o := &outbox{owner: &transport{server: &Server{cfg: Config{OutboxAge: age}}}, page: page}
	o.box.Limit = int32(limit)
	return o
}

func newOutboxModel(t *testing.T, limit int, age time.Duration) *outboxModel {
	m := &outboxModel{t: t, limit: limit, now: 1}
	m.book.Init()
	m.out = looseOutbox(limit, age, m.book.Page(0))
	m.out.blockedAt.Store(m.now)
	return m
}

// sourceWith is one source for all packets, with their ids where only this test looks:
// what several do is tested in fair_test.go.
func sourceWith(id int) (k key.Public) {
	k[0] = 1
	binary.LittleEndian.PutUint64(k[8:], uint64(id))
	return k
}

// payload is what packet id consists of, so that mixed-up buffers show.
func payloadOf(id, size int) []byte {
	return bytes.Repeat([]byte{byte(id), byte(id >> 8), 0x5a}, size/3+1)[:size]
}

func (m *outboxModel) bytes(k ledger.Kind) (n int) {
	for _, w := range m.packets[k] {
		n += w.frame()
	}
	return n
}

func (m *outboxModel) drop(k ledger.Kind, r ledger.Reason) {
	m.packets[k] = m.packets[k][1:]
	m.dropped[r][k]++
	m.lost++
}

// counted is how many packets of a kind the outbox has dropped for a reason.
func (m *outboxModel) counted(r ledger.Reason, k ledger.Kind) int {
	return int(m.book.Totals().Lost[r][k].Packets)
}

func (m *outboxModel) push(k ledger.Kind, size int) {
	m.nextID++
	w := waiting{id: m.nextID, size: size, at: m.now}
	src := sourceWith(w.id)
	m.out.push(&src, nil, payloadOf(w.id, size), k, m.now)
	m.age(k)
	if w.frame() > m.limit {
		m.dropped[ledger.QueueTail][k]++
		m.lost++
		return
	}
	for m.bytes(k)+w.frame() > m.limit {
		m.drop(k, ledger.QueueHead)
	}
	m.packets[k] = append(m.packets[k], w)
}

func (m *outboxModel) pushControl(frame []byte, limit int) {
	held := 0
	for _, f := range m.control {
		held += len(f)
	}
	want := held+len(frame) <= limit
	if got := m.out.pushControl(frame, limit); got != want {
		m.t.Fatalf("control frame taken: %v, with %d of %d bytes", got, held, limit)
	}
	if want {
		m.control = append(m.control, frame)
	}
}

// age drops what the outbox dropped for its age, which it does by segments: only
// old packets, and all those that are a quarter older still.
func (m *outboxModel) age(k ledger.Kind) {
	dropped := m.counted(ledger.QueueAge, k) - m.dropped[ledger.QueueAge][k]
	for range dropped {
		if m.packets[k][0].at >= m.now-m.out.age() {
			m.t.Fatalf("dropped %+v as too old at %d", m.packets[k][0], m.now)
		}
		m.drop(k, ledger.QueueAge)
	}
	if p := m.packets[k]; len(p) > 0 && m.out.age() > 0 && p[0].at < m.now-m.out.age()*5/4 {
		m.t.Fatalf("%+v is still there at %d", p[0], m.now)
	}
}

// take compares a batch with the fronts of the lists.
func (m *outboxModel) take() {
	var b batch
	some := m.out.takeLocked(&b, m.now)
	m.age(ledger.Disco)
	m.age(ledger.Data)
	left := len(m.control) + len(m.packets[ledger.Disco]) + len(m.packets[ledger.Data])
	if some != (left > 0) {
		m.t.Fatalf("took something: %v, with %d frames", some, left)
	}
	hadOther := len(m.packets[ledger.Data]) > 0
	var frames [3]int // by class: control, disco, other
	for i, s := range b.Segments[:b.N] {
		m.segment(i, s.Contents(), &frames)
		off := s.Newest - s.Middle()
		if off > m.out.age()/8+1 && m.out.age() > 0 {
			m.t.Fatalf("a segment's packets may be %d from its middle", off)
		}
		m.mistaken += int64(s.Frames) * off
	}
	if got := [ledger.Kinds]int{ledger.Disco: frames[1], ledger.Data: frames[2]}; got != b.Packets {
		m.t.Fatalf("batch counts %v packets, holds %v", b.Packets, got)
	}
	if hadOther && frames[2] == 0 {
		m.t.Fatal("a batch without other packets, though some waited")
	}
	b.Release()
}

// segment compares the frames of one segment.
func (m *outboxModel) segment(i int, p []byte, frames *[3]int) {
	class := -1
	for len(p) > 0 {
		t, n := derp.ParseHeader(p)
		frame := p[:derp.HeaderLen+n]
		p = p[len(frame):]
		was := class
		class = m.frame(t, frame)
		if was >= 0 && class != was {
			m.t.Fatalf("segment %d mixes classes %d and %d", i, was, class)
		}
		for later := class + 1; later < len(frames); later++ {
			if frames[later] > 0 {
				m.t.Fatalf("class %d behind class %d", class, later)
			}
		}
		frames[class]++
	}
}

// frame compares one frame with the front of its list and says which it was.
func (m *outboxModel) frame(t derp.FrameType, frame []byte) (class int) {
	if t != derp.FrameRecvPacket {
		if len(m.control) == 0 || !bytes.Equal(frame, m.control[0]) {
			m.t.Fatalf("control frame %x, want the first of %d", frame, len(m.control))
		}
		m.control = m.control[1:]
		return 0
	}
	src, packet, err := derp.ParseRecvPacket(frame[derp.HeaderLen:])
	if err != nil {
		m.t.Fatal(err)
	}
	for k, list := range m.packets {
		if len(list) == 0 || sourceWith(list[0].id) != src {
			continue
		}
		if !bytes.Equal(packet, payloadOf(list[0].id, list[0].size)) {
			m.t.Fatalf("packet %d has another content", list[0].id)
		}
		m.packets[k] = list[1:]
		m.sent.Packets++
		m.sent.Bytes += uint64(list[0].size)
		m.waited += m.now - list[0].at
		return 1 + k
	}
	m.t.Fatalf("packet of %d bytes is not the first of any list", len(packet))
	return -1
}

// check compares what is held and what was counted.
func (m *outboxModel) check() {
	if got, want := m.out.queued(), len(m.packets[ledger.Disco])+len(m.packets[ledger.Data]); got != want {
		m.t.Fatalf("%d packets queued, want %d", got, want)
	}
	m.checkAccount()
	lost := m.book.Totals().Lost
	for k, q := range [ledger.Kinds]*framequeue.Queue{ledger.Disco: &m.out.box.Disco.One, ledger.Data: &m.out.box.Other.One} {
		k := ledger.Kind(k)
		if n := int(q.Bytes); n != m.bytes(k) || n > m.limit {
			m.t.Fatalf("%d bytes of %v packets queued, want %d", q.Bytes, k, m.bytes(k))
		}
		segments, frames := 0, 0
		for s := q.Head; s != nil; s = s.Next() {
			segments++
			frames += s.Frames
			if s.Frames == 0 || s.Next() == nil && s != q.Tail {
				m.t.Fatal("empty segment, or wrong tail")
			}
		}
		if frames != int(q.Frames) || (q.Head == nil) != (q.Tail == nil) {
			m.t.Fatalf("%d frames in segments, %d counted", frames, q.Frames)
		}
		for r := range ledger.Reasons {
			if got := int(lost[r][k].Packets); got != m.dropped[r][k] {
				m.t.Fatalf("%d %v packets dropped by %v, want %d", got, k, r, m.dropped[r][k])
			}
		}
	}
}

// checkAccount compares what the outbox says of itself alone.
func (m *outboxModel) checkAccount() {
	a := m.out.account
	if a.Sent != m.sent || a.Lost.Packets != uint64(m.lost) {
		m.t.Fatalf("account %+v, want %+v sent and %d packets lost", a, m.sent, m.lost)
	}
	if off := a.Waited - m.waited; off > m.mistaken || -off > m.mistaken {
		m.t.Fatalf("packets have waited %d, want %d, or %d less or more", a.Waited, m.waited, m.mistaken)
	}
}

// randomSize prefers what real peers send, and tries all the limits.
func randomSize(r *rand.Rand) int {
	edges := []int{0, 1, 62, framequeue.SegmentSize - recvOverhead - 1, framequeue.SegmentSize - recvOverhead, framequeue.SegmentSize - recvOverhead + 1, derp.MaxPacket}
	switch r.IntN(10) {
	case 0:
		return edges[r.IntN(len(edges))]
	case 1:
		return r.IntN(derp.MaxPacket + 1)
	case 2, 3:
		return r.IntN(150)
	}
	return 1200 + r.IntN(300)
}

func (m *outboxModel) step(r *rand.Rand) {
	m.now += int64(r.IntN(3)) * int64(10*time.Millisecond)
	switch n := r.IntN(100); {
	case n < 50:
		m.push(ledger.Data, randomSize(r))
	case n < 75:
		m.push(ledger.Disco, randomSize(r))
	case n < 85:
		m.pushControl(derp.AppendHealth(nil, string(payloadOf(n, r.IntN(400)))), 64<<10)
	default:
		m.take()
	}
	m.check()
}

func TestOutboxAgainstModel(t *testing.T) {
	for _, c := range []struct {
		limit int
		age   time.Duration
	}{
		{512 << 10, 0}, {derp.MaxPacket + recvOverhead, 0}, {3000, 0}, {36, 0},
		{8 << 20, 500 * time.Millisecond}, {100_000, 100 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(c.limit, " ", c.age), func(t *testing.T) {
			for seed := range uint64(20) {
				r := rand.New(rand.NewPCG(seed, 1))
				m := newOutboxModel(t, c.limit, c.age)
				for range 500 {
					m.step(r)
				}
				for m.out.box.Control.Head != nil || m.out.queued() > 0 {
					m.take()
				}
				for k := range ledger.Kinds {
					m.push(k, 0)
				}
				m.close()
			}
		})
	}
}

func (m *outboxModel) close() {
	m.out.close()
	for k := range ledger.Kinds {
		for len(m.packets[k]) > 0 {
			m.drop(k, ledger.GoneDisconnected)
		}
		src := numbered(0)
		m.out.push(&src, nil, nil, k, m.now)
		m.dropped[ledger.GoneDisconnected][k]++
	}
	if m.out.pushControl([]byte{6, 0, 0, 0, 0}, 1000) || m.out.pushPong([8]byte{}) {
		m.t.Fatal("a closed outbox takes control frames")
	}
	m.check()
}

// One Pong waits at a time, in its turn among the control frames.
func TestOutboxHoldsOnePong(t *testing.T) {
	m := newOutboxModel(t, 1000, 0)
	for round := range 3 {
		m.pushControl(derp.AppendKeepAlive(nil), 1000)
		data := [8]byte{byte(round)}
		if !m.out.pushPong(data) {
			t.Fatal("no room for the first Pong")
		}
		m.control = append(m.control, derp.AppendPong(nil, data))
		if m.out.pushPong([8]byte{0xff}) {
			t.Fatal("a second Pong was queued")
		}
		m.pushControl(derp.AppendHealth(nil, "x"), 1000)
		m.take()
	}
}

// A waiting Pong stays the only one when other control frames leave before it.
func TestOutboxHoldsOnePongBehindMuch(t *testing.T) {
	m := newOutboxModel(t, 1000, 0)
	long := derp.AppendHealth(nil, string(make([]byte, 10_000)))
	for range 2 * framequeue.ControlsPerBatch {
		m.pushControl(long, 1<<20)
	}
	if !m.out.pushPong([8]byte{1}) {
		t.Fatal("no room for the first Pong")
	}
	m.control = append(m.control, derp.AppendPong(nil, [8]byte{1}))
	m.take()
	if m.out.pushPong([8]byte{2}) {
		t.Error("a second Pong was queued while the first one waits")
	}
}

// Disco packets of the largest size leave data their turn in every batch.
func TestOutboxLetsDataThrough(t *testing.T) {
	m := newOutboxModel(t, 8<<20, 0)
	for range 20 {
		m.push(ledger.Disco, derp.MaxPacket)
		m.pushControl(derp.AppendHealth(nil, string(make([]byte, 12_000))), 1<<20)
	}
	for range 10 {
		m.push(ledger.Data, 16_000)
	}
	for range 10 {
		m.take()
	}
	if left := len(m.packets[ledger.Data]); left != 0 {
		t.Errorf("%d data packets are left after as many batches", left)
	}
}

// A relay that is short of processors drops nothing for its own slowness: what waits
// for no full stream is sent, however late.
func TestAgeIsTheReceiversFault(t *testing.T) {
	m := newOutboxModel(t, 1<<20, 500*time.Millisecond)
	m.out.blockedAt.Store(0)
	src := numbered(1)
	for range 3 {
		m.out.push(&src, nil, payloadOf(1, 100), ledger.Data, m.now)
		m.now += int64(time.Second)
	}
	var b batch
	if m.out.takeLocked(&b, m.now); b.Packets[ledger.Data] != 3 || m.counted(ledger.QueueAge, ledger.Data) != 0 {
		t.Errorf("%d of 3 packets are written", b.Packets[ledger.Data])
	}
	b.Release()
}
