package history

import (
	"encoding/json"
	"slices"
	"testing"
)

// What an answer has in JSON, each has that goes through all of it.
func TestAllSeriesAreThere(t *testing.T) {
	a := Answer{Seconds: []float64{1}, Dropped: map[string]Series{"b": {2}, "a": {3}}, Unhealthy: Series{4}}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]json.RawMessage
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	want := []string{"dropped_a", "dropped_b"}
	for name := range said {
		if name != "from" && name != "to" && name != "step_s" && name != "dropped" {
			want = append(want, name)
		}
	}
	var got []string
	values := map[string]float64{}
	for name, s := range a.All() {
		got = append(got, name)
		if len(s) > 0 {
			values[name] = s[0]
		}
	}
	if got[0] != "seconds" || got[1] != "received_bytes" {
		t.Errorf("they begin with %s, %s", got[0], got[1])
	}
	if values["seconds"] != 1 || values["dropped_a"] != 3 || values["dropped_b"] != 2 || values["unhealthy"] != 4 {
		t.Errorf("%v", values)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for range a.All() {
		break // nothing more is asked for
	}
}
