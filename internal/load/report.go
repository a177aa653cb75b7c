package load

import "time"

// Report is what a run found. Its JSON form is stable: fields are added, never
// renamed.
type Report struct {
	URL           string  `json:"url"`
	FarURL        string  `json:"far_url,omitempty"` // of the receivers' relay, if it is another
	Pattern       Pattern `json:"pattern"`
	Pairs         int     `json:"pairs"`
	SizeBytes     int     `json:"size_bytes"`
	PacketsAWrite int     `json:"packets_per_write"`
	RateBitPerS   int64   `json:"rate_bit_per_s"` // asked for; 0: as fast as it goes
	Seconds       float64 `json:"seconds"`        // of the measured window

	Packets Packets  `json:"packets"`
	Latency *Latency `json:"latency,omitempty"`
	Broken  Broken   `json:"broken"`
	Lost    Ended    `json:"connections_lost"`

	Idle  *Idle    `json:"idle,omitempty"`
	Stall *Stall   `json:"stall,omitempty"`
	Relay *Process `json:"relay_process,omitempty"`
	Self  *Process `json:"own_process,omitempty"`

	QuietPair *EchoReport `json:"quiet_pair,omitempty"` // measured beside, by a process of its own
}

// Packets counts those sent in the measured window, without the pair whose receiver
// never reads.
//
//	offered = sent + not sent
//	sent    = delivered + lost
type Packets struct {
	Offered   uint64 `json:"offered"`   // asked for by the rate; as fast as it goes: what was sent
	Sent      uint64 `json:"sent"`      // handed to the connection
	Unsent    uint64 `json:"unsent"`    // not sent because the connection was full
	Delivered uint64 `json:"delivered"` // of those sent, arrived as they were sent
	Lost      uint64 `json:"lost"`

	// OfferedLossPercent is what was offered and did not arrive.
	OfferedLossPercent float64 `json:"offered_loss_percent"`
	// Arrived counts what came in during the window, whenever it was sent; the
	// rates follow from it.
	Arrived         uint64  `json:"arrived"`
	ArrivedPerS     float64 `json:"arrived_per_s"`
	GoodputMbitPerS float64 `json:"goodput_mbit_per_s"` // of payload
}

// Latency is the time from just before a write to the check of its packets, in
// microseconds.
type Latency struct {
	P50 float64 `json:"p50_us"`
	P90 float64 `json:"p90_us"`
	P99 float64 `json:"p99_us"`
	Max float64 `json:"max_us"`
}

// Broken counts received frames that were not what had been sent, warm-up included.
type Broken struct {
	Streams int               `json:"streams"`
	Frames  uint64            `json:"frames"`
	Kinds   map[string]uint64 `json:"kinds,omitempty"` // by the name of the fault
	Example string            `json:"example,omitempty"`
}

// Ended counts connections that ended before the run did.
type Ended struct {
	Count   int    `json:"count"`
	Example string `json:"example,omitempty"`
}

// Idle is what the peers that only stay cost.
type Idle struct {
	Peers          int     `json:"peers"`
	LoginSeconds   float64 `json:"login_seconds"` // all of them together
	SettledSeconds float64 `json:"settled_seconds"`
	HeldSeconds    float64 `json:"held_seconds,omitempty"` // after that, in a run without streams
	ResidentBefore int64   `json:"resident_before_bytes,omitempty"`
	ResidentAfter  int64   `json:"resident_after_bytes,omitempty"`
	BytesPerPeer   float64 `json:"bytes_per_peer,omitempty"`
}

// Stall is about the pair whose receiver never reads.
type Stall struct {
	Sent uint64 `json:"sent"` // packets to it, in the whole run
}

// Process is what a process used in the measured window.
type Process struct {
	PID            int     `json:"pid"`
	CPUSeconds     float64 `json:"cpu_s"`
	CPUPerPacketUS float64 `json:"cpu_us_per_arrived_packet,omitempty"`
	ResidentStart  int64   `json:"resident_start_bytes"`
	ResidentPeak   int64   `json:"resident_peak_bytes"` // of samples twice a second
	ResidentEnd    int64   `json:"resident_end_bytes"`
}

func (p *Packets) derive(size int, window time.Duration) {
	p.Unsent = p.Offered - p.Sent
	p.Lost = p.Sent - p.Delivered
	if p.Offered > 0 {
		p.OfferedLossPercent = 100 * float64(p.Offered-p.Delivered) / float64(p.Offered)
	}
	if window > 0 {
		p.ArrivedPerS = float64(p.Arrived) / window.Seconds()
		p.GoodputMbitPerS = p.ArrivedPerS * float64(size) * 8 / 1e6
	}
}
