package load

import (
	"errors"
	"runtime"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
)

// Latencies are kept between a microsecond and a minute, to three digits.
const (
	shortestLatency = 1_000
	longestLatency  = 60_000_000_000
	latencyDigits   = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(shortestLatency, longestLatency, latencyDigits)
}

// yieldEvery is how many packets a receiver takes before it lets others run. Where
// input never ends it would keep its core for the scheduler's whole slice, 10 ms,
// and with hundreds of peers the last of them would wait so long that the relay
// takes it for dead.
const yieldEvery = 64

// receiver checks every frame one peer gets.
type receiver struct {
	conn      *client.Conn
	checker   checker
	stage     *stage
	latencies *hdrhistogram.Histogram // of the packets of the measured window
}

// run receives until the connection ends and returns why it did.
func (r *receiver) run() error {
	buf := make([]byte, derp.MaxPacket)
	for n := 1; ; n++ {
		m, err := r.conn.Recv(buf)
		if err != nil {
			return err
		}
		if m.Kind == client.MessagePacket {
			r.take(m)
		}
		if n%yieldEvery == 0 {
			runtime.Gosched()
		}
	}
}

func (r *receiver) take(m client.Message) {
	one, said := r.checker.take(m.Peer, m.Packet)
	if one == nil || said.seq < one.windowFrom.Load() {
		return
	}
	took := min(max(r.stage.clock.now()-said.sentAt, shortestLatency), longestLatency)
	r.latencies.RecordValue(took) // the value is within the histogram's range
}

// errMisdelivered is about a packet for a peer that nobody sends to.
var errMisdelivered = errors.New("a packet came that nobody had sent to this peer")

// keep reads what a peer gets besides packets, so that its connection stays alive,
// until it ends.
func keep(conn *client.Conn) error {
	for {
		m, err := conn.Recv(nil)
		if m.Kind == client.MessagePacket || errors.Is(err, client.ErrBufferSize) {
			return errMisdelivered
		}
		if err != nil {
			return err
		}
	}
}
