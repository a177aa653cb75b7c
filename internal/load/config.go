package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/detour-relay/detour/client"
)

// Pattern says who sends to whom.
type Pattern string

// The patterns.
const (
	Pairs  Pattern = "pairs"  // each sender to a receiver of its own
	FanIn  Pattern = "fanin"  // all senders to one receiver
	FanOut Pattern = "fanout" // one sender to all receivers, in turn
)

// Config is one run.
type Config struct {
	Dial    client.Config // the relay and how to trust it; every peer gets a key of its own
	Far     client.Config // the receivers' relay, if its URL is set: a sibling of the other, where all else is
	Pattern Pattern       // default Pairs
	Pairs   int           // streams of packets; 0 is allowed with Idle
	Size    int           // bytes of one packet; 0: DefaultSize
	Rate    int64         // payload bits per second, of all senders together; 0: as fast as it goes
	Burst   int           // packets per write; 0: 1, or 32 as fast as it goes

	Idle   int           // peers that log in and then only stay
	Settle time.Duration // from the last idle peer's login until memory is measured
	Stall  bool          // one more pair, whose receiver never reads

	Warmup   time.Duration // traffic that does not count
	Duration time.Duration // of the measured window; without pairs, idle peers are held for so long

	PID int // process of the relay; 0: its CPU and memory stay unknown

	// Beside, if set, runs in the measured window, which lasts until it returns.
	Beside func(context.Context) error
	// Progress, if set, hears about twice a second how far the run is.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Stage       string        // "idle peers", "settling", "holding", "peers", "warm-up", ...
	Done, Total int           // logins, in the stages that log peers in
	Left        time.Duration // of a stage that takes a known time
	MbitPerS    float64       // arriving, in the stages with traffic
}

// DefaultSize is about what a packet of a Tailscale network has when its sender has
// much to say.
const DefaultSize = 1400

// floodBurst is the default of packets per write as fast as it goes: with packets
// of 1400 bytes just under the 64 KiB that the kernel passes on in one piece.
const floodBurst = 32

// mostPeers keeps a typing mistake from taking all ports of the machine.
const mostPeers = 60_000

// withDefaults fills in what is zero and says what cannot be run.
func (c Config) withDefaults() (Config, error) {
	if c.Pattern == "" {
		c.Pattern = Pairs
	}
	if c.Size == 0 {
		c.Size = DefaultSize
	}
	if c.Burst == 0 {
		c.Burst = 1
		if c.Rate == 0 {
			c.Burst = floodBurst
		}
	}
	return c, c.Check()
}

// Check says in one line what about a run is impossible, if anything.
func (c Config) Check() error {
	switch {
	case c.Pattern != "" && c.Pattern != Pairs && c.Pattern != FanIn && c.Pattern != FanOut:
		return fmt.Errorf("pattern %q is none of pairs, fanin, fanout", c.Pattern)
	case c.Pairs < 0 || c.Pairs > mostPeers/2:
		return fmt.Errorf("%d pairs: want 0 to %d", c.Pairs, mostPeers/2)
	case c.Idle < 0 || c.Idle > mostPeers:
		return fmt.Errorf("%d idle peers: want 0 to %d", c.Idle, mostPeers)
	case c.Pairs == 0 && c.Idle == 0:
		return errors.New("no pairs and no idle peers: nothing to run")
	case c.Size != 0 && (c.Size < MinSize || c.Size > MaxSize):
		return fmt.Errorf("packets of %d bytes: want %d to %d", c.Size, MinSize, MaxSize)
	case c.Rate < 0:
		return fmt.Errorf("a rate of %d bit/s: want 0 (as fast as it goes) or more", c.Rate)
	case c.Burst < 0 || c.Burst > 1024:
		return fmt.Errorf("%d packets per write: want 1 to 1024, or 0 for the default", c.Burst)
	case c.Duration < 0 || c.Duration == 0 && c.Pairs > 0:
		return fmt.Errorf("a duration of %v: want more than 0", c.Duration)
	case c.Warmup < 0 || c.Settle < 0:
		return errors.New("warm-up and settling cannot be negative")
	}
	return nil
}
