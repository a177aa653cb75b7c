package history

import (
	"bytes"
	"encoding/json"
	"iter"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// An Answer is a piece of the history in steps of equal length. Each series has one value
// a step. What is counted is summed up over a step; what is so many at a time is the mean
// of it. Its JSON names are stable.
type Answer struct {
	From  time.Time `json:"from"`   // when the first step begins
	To    time.Time `json:"to"`     // when the last one ends
	StepS int64     `json:"step_s"` // how long each is, in seconds

	// Seconds is for how many of its seconds each step is known. 0: the relay was off, and
	// all other series have no value.
	Seconds []float64 `json:"seconds"`

	ReceivedBytes   Series `json:"received_bytes"`
	ReceivedPackets Series `json:"received_packets"`
	SentBytes       Series `json:"sent_bytes"`
	SentPackets     Series `json:"sent_packets"`

	DroppedPackets Series            `json:"dropped_packets"`
	DroppedBytes   Series            `json:"dropped_bytes"`
	Dropped        map[string]Series `json:"dropped"` // packets, by those reasons that there were

	Peers       Series `json:"peers"`        // keys that are connected here
	RemotePeers Series `json:"remote_peers"` // keys that only siblings have
	Homes       Series `json:"homes"`        // conns that call this relay their home
	Conns       Series `json:"conns"`

	Accepted Series `json:"accepted"` // connections that were taken from the listener
	Rejected Series `json:"rejected"` // of these, closed at once: too many, or too fast
	Logins   Series `json:"logins"`   // that were let in
	Refused  Series `json:"refused"`  // logins that were not

	// How long packets waited in outboxes, in seconds. No value: none did.
	QueueMean Series `json:"queue_mean"`
	QueueP50  Series `json:"queue_p50"`
	QueueP99  Series `json:"queue_p99"`

	CPU    Series `json:"cpu"`    // seconds of computing of the process
	Memory Series `json:"memory"` // bytes of it that are in memory

	Checks       Series `json:"checks"`        // self-checks
	ChecksFailed Series `json:"checks_failed"` // of these
	Unhealthy    Series `json:"unhealthy"`     // seconds in which the relay wanted no peers
}

// A Series has one value a step; NaN (null in JSON): there is none.
type Series []float64

// MarshalJSON implements json.Marshaler.
func (s Series) MarshalJSON() ([]byte, error) {
	text := []byte{'['}
	for i, v := range s {
		if i > 0 {
			text = append(text, ',')
		}
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			text = append(text, "null"...)
		case math.Abs(v) < 1e15: // what is usual is short without an exponent
			text = strconv.AppendFloat(text, v, 'f', -1, 64)
		default:
			text = strconv.AppendFloat(text, v, 'g', -1, 64)
		}
	}
	return append(text, ']'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Series) UnmarshalJSON(text []byte) error {
	if bytes.Equal(text, []byte("null")) {
		*s = nil
		return nil
	}
	var values []*float64
	if err := json.Unmarshal(text, &values); err != nil {
		return err
	}
	*s = make(Series, len(values))
	for i, v := range values {
		(*s)[i] = math.NaN()
		if v != nil {
			(*s)[i] = *v
		}
	}
	return nil
}

// All are the series by their names in JSON, in their order there, Seconds first; those of
// Dropped have the reason behind the name: dropped_queue_full.
func (a *Answer) All() iter.Seq2[string, Series] {
	return func(yield func(string, Series) bool) {
		more := yield("seconds", a.Seconds)
		all := reflect.ValueOf(a).Elem()
		for i := 0; i < all.NumField() && more; i++ {
			name := all.Type().Field(i).Tag.Get("json")
			switch of := all.Field(i).Interface().(type) {
			case Series:
				more = yield(name, of)
			case map[string]Series:
				for _, reason := range slices.Sorted(maps.Keys(of)) {
					more = more && yield(name+"_"+reason, of[reason])
				}
			}
		}
	}
}
