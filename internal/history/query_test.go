package history

import (
	"encoding/json"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 29, 12, 34, 56, 0, time.UTC)

func TestQueries(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "2026-11-28T12:30:00Z 2026-11-29T12:35:00Z 5m0s",
		"step=1h":                               "2026-11-28T12:00:00Z 2026-11-29T13:00:00Z 1h0m0s",
		"from=-1h":                              "2026-11-29T11:34:00Z 2026-11-29T12:35:00Z 1m0s",
		"from=-1h&to=0s&step=7m":                "2026-11-29T11:32:00Z 2026-11-29T12:35:00Z 7m0s",
		"from=-168h":                            "2026-11-22T12:00:00Z 2026-11-29T13:00:00Z 1h0m0s",
		"from=1795914000&to=1795914060":         "2026-11-29T01:00:00Z 2026-11-29T01:01:00Z 1m0s",
		"from=2026-11-29T14:00:00%2B02:00":      "2026-11-29T12:00:00Z 2026-11-29T12:35:00Z 1m0s",
		"from=2020-01-01T00:00:00Z":             "2026-11-22T12:00:00Z 2026-11-29T13:00:00Z 1h0m0s", // not kept for so long
		"to=2199-01-01T00:00:00Z&from=-1m":      "2026-11-29T12:33:00Z 2026-11-29T12:35:00Z 1m0s",
		"from=-2m&to=-1m":                       "2026-11-29T12:32:00Z 2026-11-29T12:34:00Z 1m0s",
		"from=-12h":                             "2026-11-29T00:30:00Z 2026-11-29T12:35:00Z 5m0s",
		"from=now":                              `from: "now" is no time`,
		"to=99999999999999":                     `to: "99999999999999" is no time`,
		"from=1969-12-31T00:00:00Z":             "is no time",
		"from=-1h&to=-2h":                       "from 2026-11-29T11:34:56Z is not before to 2026-11-29T10:34:56Z",
		"to=2020-01-01T00:00:00Z":               "is not before to",
		"step=5":                                `step: "5" is no duration such as 5m`,
		"step=-5m":                              "is not more than nothing",
		"step=0":                                "is not more than nothing",
		"step=90s":                              "step: 1m30s is not whole minutes, up to 24h",
		"step=25h":                              "not whole minutes, up to 24h",
		"step=1s":                               "not whole minutes, up to 24h",
		"until=5":                               `there is no parameter "until": from, to, step`,
		"step=1m&step=2m":                       "step: once is enough",
		"from=" + strings.Repeat("9", 100):      strings.Repeat("9", 40) + `" is no time`,
		strings.Repeat("x", 100) + "=%1b%5b31m": strings.Repeat("x", 40) + `": from, to, step`,
	} {
		values, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParseQuery(values, now)
		if err == nil {
			q, err = q.complete(now)
		}
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", text, err, want)
			}
			continue
		}
		if got := q.From.Format(time.RFC3339) + " " + q.To.Format(time.RFC3339) + " " + q.Step.String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if steps := q.To.Sub(q.From) / q.Step; steps < 1 || steps > MostSteps+1 {
			t.Errorf("%s: %d steps", text, steps)
		}
	}
}

func TestSeriesAreReadAsTheyAreWritten(t *testing.T) {
	text, err := json.Marshal(Series{0, math.NaN(), 0.25, 1e18, math.Inf(1), 12345678})
	if err != nil || string(text) != "[0,null,0.25,1e+18,null,12345678]" {
		t.Errorf("%s, %v", text, err)
	}
	var s Series
	if err := json.Unmarshal(text, &s); err != nil || len(s) != 6 || !math.IsNaN(s[1]) || s[2] != 0.25 || !math.IsNaN(s[4]) {
		t.Errorf("%v, %v", s, err)
	}
	if err := json.Unmarshal([]byte("null"), &s); err != nil || s != nil {
		t.Errorf("%v, %v", s, err)
	}
	if err := json.Unmarshal([]byte(`["x"]`), &s); err == nil {
		t.Error("a text is no number")
	}
}
