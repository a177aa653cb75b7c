package probe

import (
	"encoding/json"
	"time"
)

// Status is the outcome of a check.
type Status string

// The outcomes.
const (
	OK   Status = "ok"
	Warn Status = "warn" // works, but not for everybody, or not for long, or not as was meant
	Fail Status = "fail"
	Skip Status = "skip" // does not apply, or could not be asked because of an earlier failure
)

// Check is one question and its outcome. Its JSON form is stable.
type Check struct {
	Name   string        `json:"name"`
	From   string        `json:"from,omitempty"` // node; of checks between two nodes
	To     string        `json:"to,omitempty"`   // likewise
	Status Status        `json:"status"`
	Detail string        `json:"detail"`           // what was found, in one line
	Remedy string        `json:"remedy,omitempty"` // what to do, in one line; always there with Warn and Fail
	Took   time.Duration `json:"-"`                // in JSON: took_ms

	derp bool   // it failed although what answers speaks DERP
	lost bool   // it failed because a packet did not arrive
	same string // checks that failed with the same have one cause; empty: it is its own
}

// MarshalJSON adds the time in milliseconds.
func (c Check) MarshalJSON() ([]byte, error) {
	type fields Check
	return json.Marshal(struct {
		fields
		Took float64 `json:"took_ms"`
	}{fields(c), millis(c.Took)})
}

// Report is what Run found. Its JSON form is stable: fields are added, never
// renamed.
type Report struct {
	Status  Status        `json:"status"` // the worst of all checks
	Counts  Counts        `json:"counts"`
	Took    time.Duration `json:"-"`   // in JSON: took_ms
	Map     []Check       `json:"map"` // of the map itself; empty without one
	Regions []*Region     `json:"regions"`
}

// MarshalJSON adds the time in milliseconds.
func (r Report) MarshalJSON() ([]byte, error) {
	type fields Report
	return json.Marshal(struct {
		fields
		Took float64 `json:"took_ms"`
	}{fields(r), millis(r.Took)})
}

// Region is what was found about the relays of a region. A relay that is given by
// its URL stands in a region without ID.
type Region struct {
	ID     int     `json:"id,omitempty"`
	Code   string  `json:"code,omitempty"`
	Name   string  `json:"name,omitempty"`
	Nodes  []*Node `json:"nodes"`
	Checks []Check `json:"checks"` // between its nodes
}

// Node is what was found about one relay.
type Node struct {
	Name      string  `json:"name"`                 // in the map; of a URL: its host
	URL       string  `json:"url"`                  // what clients connect to
	ServerKey string  `json:"server_key,omitempty"` // of the relay, once it is known
	Checks    []Check `json:"checks"`
}

// Counts says how many checks had which outcome.
type Counts struct {
	OK   int `json:"ok"`
	Warn int `json:"warn"`
	Fail int `json:"fail"`
	Skip int `json:"skip"`
}

func (c *Counts) add(checks []Check) {
	for _, check := range checks {
		switch check.Status {
		case OK:
			c.OK++
		case Warn:
			c.Warn++
		case Fail:
			c.Fail++
		default:
			c.Skip++
		}
	}
}

// sumUp counts the checks.
func (r *Report) sumUp() {
	r.Counts.add(r.Map)
	for _, region := range r.Regions {
		r.Counts.add(region.Checks)
		for _, node := range region.Nodes {
			r.Counts.add(node.Checks)
		}
	}
	switch {
	case r.Counts.Fail > 0:
		r.Status = Fail
	case r.Counts.Warn > 0:
		r.Status = Warn
	case r.Counts.OK > 0:
		r.Status = OK
	default:
		r.Status = Skip
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
