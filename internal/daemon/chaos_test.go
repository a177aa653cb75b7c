package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/key"
)

// chaosPeers is how many peers there are at a time, each for a short life.
const chaosPeers = 40

// chaosTime is how long it goes on for each poller: `make chaos` says more.
func chaosTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("DETOUR_CHAOS")
	if text == "" {
		return 4 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("DETOUR_CHAOS: %v", err)
	}
	return d
}

// chaos is a crowd of peers who come, send, stall and leave as they like.
type chaos struct {
	relay *Daemon
	over  context.Context
	here  [chaosPeers]atomic.Pointer[key.Public]
	came  atomic.Int64
	lives atomic.Int64

	mu    sync.Mutex
	wrong error // guarded by mu: the first thing that must not be
}

func (c *chaos) fail(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrong == nil {
		c.wrong = fmt.Errorf(format, args...)
	}
}

// Whatever peers do, no stream is broken and no packet comes twice, late or changed; and
// when they have left, each packet is accounted for, and nothing of them is left.
func TestChaos(t *testing.T) {
	for _, poller := range []string{config.PollerLoops, config.PollerGo} {
		t.Run(poller, func(t *testing.T) {
			if poller == config.PollerLoops && runtime.GOOS != "linux" {
				t.Log("there are no loops on this system: this is Go's poller once more")
				poller = config.PollerGo
			}
			chaosOver(t, poller)
		})
	}
}

func chaosOver(t *testing.T, poller string) {
	settings := secured(t)
	settings.Poller, settings.Access.Everyone = poller, true
	c := &chaos{relay: open(t, settings, Options{})}
	run(t, c.relay)
	over, stop := context.WithCancel(t.Context())
	defer stop()
	c.over = over
	c.live(0, rand.New(rand.NewPCG(0, 0))) // now all is there that stays
	eventually(t, "the first is gone", func() bool { return c.relay.operators.Status().Relay.Conns == 0 })
	goroutines, descriptors := runtime.NumGoroutine(), openFiles()
	time.AfterFunc(chaosTime(t), stop)
	var peers sync.WaitGroup
	for n := range chaosPeers {
		peers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for c.over.Err() == nil {
				c.live(n, random)
			}
		})
	}
	peers.Wait()
	if c.wrong != nil {
		t.Error(c.wrong)
	}
	if c.came.Load() == 0 {
		t.Error("no packet has come")
	}
	t.Logf("%d lives, %d packets have come", c.lives.Load(), c.came.Load())
	for _, sum := range admin.Sums {
		eventually(t, sum.Text, func() bool { s := c.relay.operators.Status(); return sum.Holds(&s) })
	}
	eventually(t, "all are gone", func() bool {
		s := c.relay.operators.Status()
		return s.Relay.Conns == 0 && s.Relay.Queued == 0 && s.Relay.OutboxBytes == 0 &&
			runtime.NumGoroutine() <= goroutines && openFiles() <= descriptors
	})
}

// openFiles returns how many descriptors this process has; 0 where nobody tells.
func openFiles() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}

// live is the life of one peer.
func (c *chaos) live(place int, random *rand.Rand) {
	secret := key.NewPrivate()
	now := c.relay.State()
	cfg := client.Config{URL: now.URL, CertName: now.Pin, Key: secret}
	if random.IntN(4) == 0 {
		cfg.WebSocket = client.WebSocketAlways
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	conn, _, err := client.Login(ctx, cfg)
	cancel()
	if err != nil {
		c.fail("login: %v", err)
		return
	}
	c.lives.Add(1)
	public := secret.Public()
	c.here[place].Store(&public)
	stall := time.Duration(random.IntN(3)) * time.Duration(random.IntN(200)) * time.Millisecond
	var reading sync.WaitGroup
	reading.Go(func() { c.read(conn, stall) })
	c.send(conn, random)
	conn.Close() // what it has not read makes this a reset
	reading.Wait()
}

// send sends bursts of numbered packets to whoever is there.
func (c *chaos) send(conn *client.Conn, random *rand.Rand) {
	numbers := map[key.Public]uint64{}
	for range 1 + random.IntN(30) {
		to := c.here[random.IntN(chaosPeers)].Load()
		if c.over.Err() != nil || to == nil {
			break
		}
		for range 1 + random.IntN(40) {
			if conn.Send(*to, chaosPacket(numbers[*to], 16+random.IntN(1400))) != nil {
				return // its neighbour in the network may have been too slow for it
			}
			numbers[*to]++
		}
		time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
	}
}

// chaosPacket is one of which each byte follows from its number.
func chaosPacket(number uint64, size int) []byte {
	packet := bytes.Repeat([]byte{byte(number * 7)}, size)
	binary.BigEndian.PutUint64(packet, number)
	return packet
}

// read checks all that comes, after a stall.
func (c *chaos) read(conn *client.Conn, stall time.Duration) {
	next := map[key.Public]uint64{}
	buf := make([]byte, 64<<10)
	time.Sleep(stall)
	for {
		m, err := conn.Recv(buf)
		if err != nil {
			return
		}
		if m.Kind != client.MessagePacket {
			continue
		}
		number := binary.BigEndian.Uint64(m.Packet)
		if number < next[m.Peer] || !bytes.Equal(m.Packet, chaosPacket(number, len(m.Packet))) {
			c.fail("packet %d of a sender came after %d, or changed", number, next[m.Peer])
		}
		next[m.Peer] = number + 1
		c.came.Add(1)
	}
}
