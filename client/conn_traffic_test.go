package client

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/readbuf"
	"github.com/detour-relay/detour/key"
)

// echoRelay starts a relay that sends packets back, plain or with TLS and fast
// start.
func echoRelay(t *testing.T, useTLS bool) Config {
	t.Helper()
	script := func(s *side) {
		if s.admit() {
			s.echo()
		}
	}
	if !useTLS {
		return startRelay(t, key.NewPrivate(), nil, script).config(t, "http://relay.example.com")
	}
	a, private := newAuthority(t), key.NewPrivate()
	server := serverTLS(with(a.issue("relay.example.com"), metaCert(t, private.Public(), 2)))
	server.DynamicRecordSizingDisabled = true
	cfg := startRelay(t, private, server, script).config(t, "https://relay.example.com")
	cfg.RootCAs = a.pool()
	return cfg
}

func TestEcho(t *testing.T) {
	sizes := []int{0, 1, 1400, readbuf.Small - packetFrameLen, readbuf.Small, maxRecord, readbuf.Large - 1, derp.MaxPacket}
	for name, cfg := range map[string]Config{"plain": echoRelay(t, false), "TLS": echoRelay(t, true)} {
		for _, records := range []bool{false, true} {
			cfg.RecordPerPacket = records
			t.Run(name, func(t *testing.T) { checkEcho(t, admitted(t, cfg), sizes...) })
		}
	}
}

// A batch is one write to the socket, whatever is above it, and the records are as
// asked for.
func TestBatchIsOneWrite(t *testing.T) {
	secure := echoRelay(t, true)
	perPacket := secure
	perPacket.RecordPerPacket = true
	web := startWebRelay(t, nil, key.NewPrivate(), "derp", func(ws *websocket.Conn, s *side) {
		ws.SetReadLimit(32768)
		if s.greetAndLogin() {
			s.drain()
		}
	}).config("http://relay.example.com")
	web.WebSocket = WebSocketAlways

	batch := make([]Packet, 40) // 57,000 bytes with headers
	for i := range batch {
		batch[i] = Packet{Peer: key.Public{1}, Data: make([]byte, 1400)}
	}
	for name, c := range map[string]struct {
		cfg     Config
		records int
	}{
		"plain":                      {echoRelay(t, false), 0},
		"TLS, full records":          {secure, 4},
		"TLS, one record per packet": {perPacket, 40},
		"WebSocket":                  {web, 0},
	} {
		counter := counted(&c.cfg)
		conn := admitted(t, c.cfg)
		counter.take()
		if err := conn.SendBatch(batch); err != nil {
			t.Fatal(err)
		}
		writes, written := counter.take()
		if writes != 1 {
			t.Errorf("%s: %d writes, want 1", name, writes)
		}
		if c.records > 0 {
			if got := countRecords(written); got != c.records {
				t.Errorf("%s: %d TLS records, want %d", name, got, c.records)
			}
		}
		if err := conn.Send(key.Public{1}, make([]byte, derp.MaxPacket)); err != nil {
			t.Fatal(err)
		}
		if writes, _ := counter.take(); writes != 1 {
			t.Errorf("%s: a large packet needs %d writes, want 1", name, writes)
		}
	}
}

func countRecords(written []byte) (n int) {
	for len(written) >= 5 {
		written = written[min(len(written), 5+int(written[3])<<8+int(written[4])):]
		n++
	}
	return n
}

// Batches that are too large for one write arrive whole and in order all the same.
func TestHugeBatch(t *testing.T) {
	for name, cfg := range map[string]Config{"plain": echoRelay(t, false), "TLS": echoRelay(t, true)} {
		for _, records := range []bool{false, true} {
			cfg.RecordPerPacket = records
			counter := counted(&cfg)
			c := admitted(t, cfg)
			counter.take()
			batch := make([]Packet, 20)
			for i := range batch {
				batch[i] = Packet{Peer: key.Public{1}, Data: bytes.Repeat([]byte{byte(i)}, 60000)}
			}
			var sending sync.WaitGroup
			sending.Go(func() {
				if err := c.SendBatch(batch); err != nil {
					t.Error(err)
				}
			})
			for i := range batch {
				if msg := recv(t, c, MessagePacket); !bytes.Equal(msg.Packet, batch[i].Data) {
					t.Errorf("%s: packet %d is another", name, i)
				}
			}
			sending.Wait()
			if writes, _ := counter.take(); writes < 2 || writes > 6 {
				t.Errorf("%s: %d writes for 1.2 MB, want one for each 256 KiB", name, writes)
			}
			c.Close()
		}
	}
}

func TestEmptyBatch(t *testing.T) {
	for _, useTLS := range []bool{false, true} {
		cfg := echoRelay(t, useTLS)
		cfg.RecordPerPacket = useTLS
		counter := counted(&cfg)
		c := admitted(t, cfg)
		counter.take()
		if err := c.SendBatch(nil); err != nil {
			t.Error(err)
		}
		if writes, _ := counter.take(); writes != 0 {
			t.Errorf("%d writes for nothing", writes)
		}
		c.Close()
		if err := c.SendBatch(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestPacketTooLarge(t *testing.T) {
	cfg := echoRelay(t, false)
	counter := counted(&cfg)
	c := admitted(t, cfg)
	counter.take()
	large := make([]byte, derp.MaxPacket+1)
	if err := c.Send(key.Public{1}, large); !errors.Is(err, ErrPacketSize) {
		t.Errorf("Send: %v", err)
	}
	if err := c.SendBatch([]Packet{{key.Public{1}, nil}, {key.Public{1}, large}}); !errors.Is(err, ErrPacketSize) {
		t.Errorf("SendBatch: %v", err)
	}
	if writes, _ := counter.take(); writes != 0 {
		t.Errorf("%d writes, want none", writes)
	}
	checkEcho(t, c, 10)
}

func TestBufferTooSmall(t *testing.T) {
	for _, size := range []int{1, 1400, derp.MaxPacket} {
		c := admitted(t, echoRelay(t, true))
		packet := bytes.Repeat([]byte("p"), size)
		if err := c.SendBatch([]Packet{{key.Public{1}, packet}, {key.Public{1}, []byte("next")}}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := c.Recv(make([]byte, size-1)); !errors.Is(err, ErrBufferSize) {
				t.Errorf("%d bytes: %v, want ErrBufferSize", size, err)
			}
		}
		if msg, err := c.Recv(make([]byte, size)); err != nil || !bytes.Equal(msg.Packet, packet) {
			t.Errorf("%d bytes: with enough room %v", size, err)
		}
		if msg := recv(t, c, MessagePacket); string(msg.Packet) != "next" {
			t.Errorf("%d bytes: the stream is out of step: %q", size, msg.Packet)
		}
	}
}

// Whatever pieces the stream comes in, the messages are the same.
func TestRecvInPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	peer := key.NewPrivate().Public()
	var stream []byte
	var want []string
	for range 300 {
		packet := bytes.Repeat([]byte{byte(random.Int())}, []int{0, 3, 1400, 9000, 65536}[random.IntN(5)])
		before := len(stream)
		switch random.IntN(6) {
		case 0:
			stream = derp.AppendPeerGone(stream, peer, derp.ReasonNotHere)
		case 1:
			stream = derp.AppendHealth(stream, string(bytes.Repeat([]byte("x"), random.IntN(70000))))
		case 2:
			stream = append(derp.AppendHeader(stream, 0x70, len(packet)), packet...) // unknown
			continue
		default:
			stream = derp.AppendRecvPacket(stream, peer, packet)
		}
		want = append(want, describeFrame(stream[before:]))
	}
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		if !s.admit() {
			return
		}
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN([]int{10, 1000, 100000}[random.IntN(3)]))
			if !s.write(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	})
	c := admitted(t, relay.config(t, "http://relay.example.com"))
	buf := make([]byte, derp.MaxPacket)
	for i, want := range want {
		msg, err := c.Recv(buf)
		if got := describe(msg); err != nil || got != want {
			t.Fatalf("message %d: %v %v, want another", i, msg.Kind, err)
		}
	}
	if c.Stats().SkippedFrames == 0 {
		t.Error("no frame was skipped")
	}
}

// describeFrame says of a frame what describe says of the message.
func describeFrame(frame []byte) string {
	payload := frame[derp.HeaderLen:]
	switch derp.FrameType(frame[0]) {
	case derp.FramePeerGone:
		peer, reason, _ := derp.ParsePeerGone(payload)
		return describe(Message{Kind: MessagePeerGone, Peer: peer, Reason: reason})
	case derp.FrameHealth:
		return describe(Message{Kind: MessageHealth, Health: derp.ParseHealth(payload)})
	}
	src, packet, _ := derp.ParseRecvPacket(payload)
	return describe(Message{Kind: MessagePacket, Peer: src, Packet: packet})
}

// Many may send at the same time; frames do not mix.
func TestManySenders(t *testing.T) {
	const senders, each = 8, 200
	c := admitted(t, echoRelay(t, true))
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			packet := bytes.Repeat([]byte{byte(i)}, 100+i)
			for n := range each {
				var err error
				if n%2 == 0 {
					err = c.Send(key.Public{1}, packet)
				} else {
					err = c.SendBatch([]Packet{{key.Public{1}, packet}})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	got := map[byte]int{}
	for range senders * each {
		msg := recv(t, c, MessagePacket)
		from := msg.Packet[0]
		if !bytes.Equal(msg.Packet, bytes.Repeat([]byte{from}, 100+int(from))) {
			t.Fatal("a packet is mixed up")
		}
		got[from]++
	}
	wg.Wait()
	for i := range byte(senders) {
		if got[i] != each {
			t.Errorf("%d packets of sender %d, want %d", got[i], i, each)
		}
	}
}

// The relay's limit: what does not fit is dropped without an error, and counted.
func TestRateLimit(t *testing.T) {
	const frame = packetFrameLen + 63 // 100 bytes
	for _, records := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			packets := make(chan int, 100)
			cfg := pipeRelay(t, func(s *side) {
				s.takeOver()
				s.write(s.serverInfo(derp.ServerInfo{TokenBucketBytesPerSecond: 2 * frame, TokenBucketBytesBurst: 3 * frame}))
				for {
					_, payload, ok := s.read()
					if !ok {
						return
					}
					packets <- len(payload)
					if len(payload) == 1 { // NotePreferred: other limits from now on
						s.write(s.serverInfo(derp.ServerInfo{TokenBucketBytesPerSecond: frame, TokenBucketBytesBurst: 2 * frame}))
					}
				}
			})
			cfg.RecordPerPacket = records
			c := admitted(t, cfg)
			packet := Packet{Peer: key.Public{1}, Data: make([]byte, 63)}
			check := func(step string, sent, limited int) {
				t.Helper()
				synctest.Wait()
				if got := len(packets); got != sent {
					t.Errorf("%s: %d packets arrived, want %d", step, got, sent)
				}
				if got := c.Stats().LimitedPackets; got != uint64(limited) {
					t.Errorf("%s: %d packets dropped, want %d", step, got, limited)
				}
			}
			for range 5 {
				if err := c.Send(packet.Peer, packet.Data); err != nil {
					t.Error(err)
				}
			}
			check("burst", 3, 2)
			time.Sleep(time.Second)
			if err := c.SendBatch([]Packet{packet, packet, packet, packet}); err != nil {
				t.Error(err)
			}
			check("after a second", 5, 4)
			time.Sleep(time.Hour)
			if err := c.SendBatch([]Packet{packet, packet, packet, packet}); err != nil {
				t.Error(err)
			}
			check("full again", 8, 5)
			if err := c.NotePreferred(true); err != nil { // not a packet
				t.Error(err)
			}
			check("other frames", 9, 5)
			if msg := recv(t, c, MessageServerInfo); msg.ServerInfo.TokenBucketBytesPerSecond != frame {
				t.Errorf("%+v", msg.ServerInfo)
			}
			if err := c.SendBatch([]Packet{packet, packet, packet}); err != nil {
				t.Error(err)
			}
			check("with other limits", 11, 6)
			time.Sleep(time.Second)
			if err := c.SendBatch([]Packet{packet, packet}); err != nil {
				t.Error(err)
			}
			check("a second later", 12, 7)
		})
	}
}

// A stream that ends inside of a frame, whatever the frame, is not at its end.
func TestStreamCutOff(t *testing.T) {
	for name, frame := range map[string][]byte{
		"header":  {6, 0},
		"packet":  append(derp.AppendHeader(nil, derp.FrameRecvPacket, 132), make([]byte, 131)...),
		"source":  append(derp.AppendHeader(nil, derp.FrameRecvPacket, 132), make([]byte, 31)...),
		"control": append(derp.AppendHeader(nil, derp.FrameHealth, 5), "text"...),
		"unknown": append(derp.AppendHeader(nil, 0x70, 5), "text"...),
	} {
		relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
			s.admit()
			s.write(frame)
		})
		c := admitted(t, relay.config(t, "http://relay.example.com"))
		if _, err := c.Recv(make([]byte, 100)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v, want io.ErrUnexpectedEOF", name, err)
		}
	}
}

// Once we are admitted, a greeting means nothing any more.
func TestGreetingOutOfPlace(t *testing.T) {
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		s.admit()
		s.write(derp.AppendKeepAlive(derp.AppendServerKey(nil, key.NewPrivate().Public())))
		s.drain()
	})
	recv(t, admitted(t, relay.config(t, "http://relay.example.com")), MessageKeepAlive)
}

func TestMessageKinds(t *testing.T) {
	seen := map[string]bool{}
	for kind := MessagePacket; kind <= MessagePong; kind++ {
		seen[kind.String()] = true
	}
	if len(seen) != int(MessagePong) || seen[MessageKind(0).String()] || seen[(MessagePong+1).String()] {
		t.Errorf("kinds do not have names of their own: %v", seen)
	}
}

func TestControlFrames(t *testing.T) {
	frames := make(chan []byte, 10)
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		if !s.admit() {
			return
		}
		for {
			typ, payload, ok := s.read()
			if !ok {
				return
			}
			frames <- append([]byte{byte(typ)}, payload...)
		}
	})
	c, peer := admitted(t, relay.config(t, "http://relay.example.com")), key.NewPrivate().Public()
	for name, step := range map[string]struct {
		send func() error
		want []byte
	}{
		"home":     {func() error { return c.NotePreferred(true) }, []byte{7, 1}},
		"not home": {func() error { return c.NotePreferred(false) }, []byte{7, 0}},
		"watch":    {c.WatchConns, []byte{0x10}},
		"close":    {func() error { return c.ClosePeer(peer) }, append([]byte{0x11}, peer[:]...)},
	} {
		if err := step.send(); err != nil {
			t.Error(err)
		}
		if got := <-frames; !bytes.Equal(got, step.want) {
			t.Errorf("%s: %x, want %x", name, got, step.want)
		}
	}
}
