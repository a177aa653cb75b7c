package home

import (
	"net/netip"
	"time"
)

// A Report is what one round of measuring found.
type Report struct {
	Start time.Time
	Full  bool

	// Latency is the least that a region answered in. Regions that did not answer
	// are missing. Without UDP these are times over HTTPS.
	Latency map[int]time.Duration

	// Latency4 and Latency6 are what STUN found over one family.
	Latency4, Latency6 map[int]time.Duration

	// UDP is true if any STUN answer came.
	UDP bool

	// Public4 and Public6 are our address and port as the first region that
	// answered saw them.
	Public4, Public6 netip.AddrPort

	// MappingVaries says whether other regions see us at other IPv4 addresses or
	// ports: what makes direct connections hard.
	MappingVaries Maybe

	// CaptivePortal is for the caller to set, who looks for one (1.9).
	CaptivePortal bool
}

// A Maybe is yes, no, or not known.
type Maybe uint8

// What a Maybe can be.
const (
	Unknown Maybe = iota
	No
	Yes
)

func (m Maybe) String() string {
	switch m {
	case No:
		return "no"
	case Yes:
		return "yes"
	}
	return "unknown"
}
