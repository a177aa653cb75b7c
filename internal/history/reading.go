package history

import (
	"slices"
	"strconv"
	"time"

	"maps"

	"github.com/detour-relay/detour/relay"
)

// A Reading is what a process has counted up to now, and how it is.
type Reading struct {
	Relay relay.Counters
	Ended uint64 // conns that had logged in and have ended

	Accepted, Rejected   uint64 // connections: taken from the listener; closed at once
	Checks, ChecksFailed uint64 // self-checks
	Healthy              bool   // it wants peers

	CPU    time.Duration
	Memory uint64
}

// A column is one number of each minute. Their names are in the file, so those of one
// version are read by the next.
type column struct {
	name  string
	level bool // so many at a time; all others count, and only grow
	value func(*Reading) uint64
}

const (
	dropped = "dropped:" // before a reason
	queued  = "queued:"  // before the bound of a bucket of the times in outboxes
)

// columnsOf returns what is kept of readings. Which reasons and bounds there are the engine
// says.
func columnsOf(r *Reading) []column {
	all := slices.Clone(fixed)
	for _, reason := range slices.Sorted(maps.Keys(r.Relay.Dropped)) {
		all = append(all, column{dropped + reason, false, func(r *Reading) uint64 { return packetsOf(r.Relay.Dropped[reason]) }})
	}
	for i := range r.Relay.OutboxTime.Counts {
		bound := "inf"
		if i < len(r.Relay.OutboxTime.Bounds) {
			bound = strconv.FormatFloat(r.Relay.OutboxTime.Bounds[i], 'g', -1, 64)
		}
		all = append(all, column{queued + bound, false, func(r *Reading) uint64 { return r.Relay.OutboxTime.Counts[i] }})
	}
	return all
}

var fixed = []column{
	{"received_bytes", false, func(r *Reading) uint64 { return bytesOf(r.Relay.Received) }},
	{"received_packets", false, func(r *Reading) uint64 { return packetsOf(r.Relay.Received) }},
	{"sent_bytes", false, func(r *Reading) uint64 { return bytesOf(r.Relay.Sent) }},
	{"sent_packets", false, func(r *Reading) uint64 { return packetsOf(r.Relay.Sent) }},
	{"dropped_bytes", false, func(r *Reading) (n uint64) {
		for _, of := range r.Relay.Dropped {
			n += bytesOf(of)
		}
		return n
	}},
	{"dropped_packets", false, func(r *Reading) (n uint64) {
		for _, of := range r.Relay.Dropped {
			n += packetsOf(of)
		}
		return n
	}},
	{"peers", true, func(r *Reading) uint64 { return level(r.Relay.Peers) }},
	{"remote_peers", true, func(r *Reading) uint64 { return level(r.Relay.RemotePeers) }},
	{"homes", true, func(r *Reading) uint64 { return level(r.Relay.Homes) }},
	{"conns", true, func(r *Reading) uint64 { return level(r.Relay.Conns) }},
	{"accepted", false, func(r *Reading) uint64 { return r.Accepted }},
	{"rejected", false, func(r *Reading) uint64 { return r.Rejected }},
	{"logins", false, func(r *Reading) uint64 { return level(r.Relay.Conns) + r.Ended }},
	{"refused", false, func(r *Reading) (n uint64) {
		for _, reason := range []string{"not_admitted", "admit_timeout", "admit_busy", "bad_login", "login_timeout", "login_memory"} {
			n += r.Relay.Ended[reason]
		}
		return n
	}},
	{"queue_us", false, func(r *Reading) uint64 { return uint64(r.Relay.OutboxTime.Sum * 1e6) }},
	{"cpu_us", false, func(r *Reading) uint64 { return uint64(r.CPU.Microseconds()) }},
	{"memory", true, func(r *Reading) uint64 { return r.Memory }},
	{"checks", false, func(r *Reading) uint64 { return r.Checks }},
	{"checks_failed", false, func(r *Reading) uint64 { return r.ChecksFailed }},
	{"unhealthy", true, func(r *Reading) uint64 {
		if r.Healthy {
			return 0
		}
		return 1
	}},
}

func bytesOf(k relay.ByKind) uint64   { return k.Disco.Bytes + k.Other.Bytes }
func packetsOf(k relay.ByKind) uint64 { return k.Disco.Packets + k.Other.Packets }
func level(n int64) uint64            { return uint64(max(0, n)) }

// A meter turns readings into what is new in them.
type meter struct {
	columns []column
	counted []uint64 // of the columns that count, the most that was read
	at      time.Time
}

func newMeter(r *Reading, now time.Time) *meter {
	m := &meter{columns: columnsOf(r), at: now}
	m.counted = make([]uint64, len(m.columns))
	for i, c := range m.columns {
		m.counted[i] = c.value(r)
	}
	return m
}

func (m *meter) names() (all []string) {
	for _, c := range m.columns {
		all = append(all, c.name)
	}
	return all
}

// read adds to values what has been counted since the last reading. What is so many at a
// time is added for each millisecond that the reading stands for.
func (m *meter) read(r *Reading, millis uint64, values []uint64) {
	for i, c := range m.columns {
		now := c.value(r)
		if c.level {
			values[i] += now * millis
			continue
		}
		values[i] += max(now, m.counted[i]) - m.counted[i]
		m.counted[i] = max(now, m.counted[i])
	}
}
