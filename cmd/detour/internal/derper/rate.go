package derper

import (
	"encoding/json"
	"fmt"

	"github.com/detour-relay/detour/internal/smallfile"
)

// A rateFile is what derper reads from the file of -rate-config. Other members mean
// nothing to it.
type rateFile struct {
	PerClientRateLimitBytesPerSec uint64 // 0: no limit
	PerClientRateBurstBytes       uint64
}

const (
	mostRateFile = 64 << 10

	// leastBurst is the largest frame with a packet, below which no burst can be, there
	// as here.
	leastBurst = 65_573
)

func readRate(path string) (r rateFile, err error) {
	text, err := smallfile.Read(path, mostRateFile)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf(`%s: %w: want {"PerClientRateLimitBytesPerSec": 1250000, "PerClientRateBurstBytes": 4000000}`, path, err)
	}
	return r, nil
}

// give has what each peer may send as settings.
func (r rateFile) give(m *meaning) {
	if r.PerClientRateLimitBytesPerSec == 0 {
		return
	}
	m.give("limits.in", fmt.Sprintf("%dB/s", r.PerClientRateLimitBytesPerSec))
	m.give("limits.burst", fmt.Sprintf("%dB", max(r.PerClientRateBurstBytes, leastBurst)))
	m.remarks["limits.in"] = "From " + m.rateConfig + ", which derper reads again upon SIGHUP. Here change this file, and reload. It counts for all connections of a key together."
}
