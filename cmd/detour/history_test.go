package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/history"
)

// relayWithHistory answers whatever is asked of its history, and tells what that was.
func relayWithHistory(t *testing.T, answer any) (url string, asked *string) {
	t.Helper()
	asked = new(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.URL.Path + "?" + r.URL.RawQuery
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

// eventful are six hours: off at first, with a restart, and with a bad one at the end.
func eventful() *history.Answer {
	none := math.NaN()
	from := time.Date(2026, 11, 28, 22, 0, 0, 0, time.UTC)
	return &history.Answer{
		From: from, To: from.Add(6 * time.Hour), StepS: 3600, Seconds: []float64{0, 0, 2400, 3600, 3000, 600},
		ReceivedBytes: history.Series{none, none, 2400 << 20, 3600 << 20, 0, 600 << 10}, SentBytes: history.Series{none, none, 2400 << 20, 3600 << 19, 0, 600 << 10},
		DroppedPackets: history.Series{none, none, 0, 0, 0, 7}, Dropped: map[string]history.Series{"queue_head": {none, none, 0, 0, 0, 5}, "gone": {none, none, 0, 0, 0, 2}},
		Peers: history.Series{none, none, 10, 120.25, 0, 2.5}, Logins: history.Series{none, none, 12, 110, 0, 1}, Refused: history.Series{none, none, 0, 0, 0, 3},
		QueueP99: history.Series{none, none, 0.0012, 0.01, none, 2.5}, CPU: history.Series{none, none, 24, 1800, 0, 6}, Memory: history.Series{none, none, 50 << 20, 60 << 20, 60 << 20, 61 << 20},
		ChecksFailed: history.Series{none, none, 0, 0, 0, 2}, Unhealthy: history.Series{none, none, 0, 0, 0, 125},
	}
}

func TestHistoryAtAGlance(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	at, asked := relayWithHistory(t, eventful())
	out, _ := command(t, 0, "history", "--since", "6h", "--step", "1h", at)
	const want = `2026-11-28 22:00 UTC to 2026-11-29 04:00 UTC in steps of 1h, 2h40m of it known
5.9 GB in, 4.1 GB out, 7 packets dropped (gone 2, queue_head 5), 48 peers on average, 123 logins, 3 refused

FROM (UTC)    TRAFFIC               IN/S       OUT/S  DROPPED  PEERS  LOGINS  REFUSED  WAIT-P99  CPU   MEMORY  NOTE
Nov 28 22:00  off for 2h0m             -           -        -      -       -        -         -    -        -
Nov 29 00:00  ████████████████  1.0 MB/s    1.0 MB/s        0     10      12        0     1.2ms   1%  50.0 MB  off for 20m0s
Nov 29 01:00  ████████████      1.0 MB/s  512.0 KB/s        0    120     110        0    10.0ms  50%  60.0 MB
Nov 29 02:00                       0 B/s       0 B/s        0      0       0        0         -   0%  60.0 MB  off for 10m0s
Nov 29 03:00  ▏                 1.0 KB/s    1.0 KB/s        7    2.5       1        3      2.5s   1%  61.0 MB  unready for 2m5s, 2 self-checks failed
`
	if out != want {
		t.Errorf("%s", out)
	}
	if *asked != "/history?from=-6h0m0s&step=1h0m0s" {
		t.Errorf("asked for %s", *asked)
	}
}

// Steps are such as people would choose, and what is a time of the day is asked as such.
func TestHistoryAsksForFewSteps(t *testing.T) {
	at, asked := relayWithHistory(t, eventful())
	for line, want := range map[string]string{
		"":                       "from=-24h0m0s&step=1h0m0s",
		"--since 1h":             "from=-1h0m0s&step=2m0s",
		"--since 7d":             "from=-168h0m0s&step=6h0m0s",
		"--since 1m":             "from=-1m0s&step=1m0s",
		"--since 2d --until 1d":  "from=-48h0m0s&step=1h0m0s&to=-24h0m0s",
		"--since 7d --step 1d":   "from=-168h0m0s&step=24h0m0s",
		"--since 7d --step 121m": "from=-168h0m0s&step=2h1m0s",
	} {
		command(t, 0, append([]string{"history", "--json", at}, strings.Fields(line)...)...)
		if _, query, _ := strings.Cut(*asked, "?"); query != want {
			t.Errorf("%s asks for %s, want %s", line, query, want)
		}
	}
	yesterday := time.Now().Add(-24 * time.Hour).In(time.FixedZone("", 3600)).Format(time.RFC3339)
	command(t, 0, "history", "--json", "--since", yesterday, at)
	if moment, _ := time.Parse(time.RFC3339, yesterday); !strings.Contains(*asked, "from="+strings.ReplaceAll(moment.UTC().Format(time.RFC3339), ":", "%3A")) {
		t.Errorf("%s asks for %s", yesterday, *asked)
	}
}

// JSON and CSV have each figure exactly, and a gap is none.
func TestHistoryForPrograms(t *testing.T) {
	kept := eventful()
	at, _ := relayWithHistory(t, kept)
	out, _ := command(t, 0, "history", "--json", at)
	var got struct {
		Relay string
		*history.Answer
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Relay != at {
		t.Fatalf("%s: %v", out, err)
	}
	said, _ := json.Marshal(got.Answer)
	if want, _ := json.Marshal(kept); string(said) != string(want) {
		t.Errorf("%s, want %s", said, want)
	}
	out, _ = command(t, 0, "history", "--csv", at)
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 7 {
		t.Fatalf("%s: %v", out, err)
	}
	figures := map[string]string{}
	for j, name := range rows[0] {
		figures[name] = rows[1][j] + " " + rows[6][j]
	}
	for name, want := range map[string]string{
		"from": "2026-11-28T22:00:00Z 2026-11-29T03:00:00Z", "seconds": "0 600", "received_bytes": " 614400", "dropped_queue_head": " 5", "peers": " 2.5", "queue_p99": " 2.5", "checks": " ",
	} {
		if figures[name] != want {
			t.Errorf("%s: %q, want %q", name, figures[name], want)
		}
	}
}

// A relay that says what makes no sense is shown as far as it goes, and is no order to a terminal.
func TestHistoryOfARelayThatIsNotWell(t *testing.T) {
	for _, said := range []string{
		`{}`, `{"seconds":null}`, `{"step_s":-9223372036854775808,"seconds":[1,2,-3,1e308,1e308]}`,
		`{"step_s":60,"seconds":[60,60],"received_bytes":[1e300],"peers":[null,-5,7,8],"dropped":{"\u001b[2J":[1e20]},"cpu":[1e308,-1],"memory":[1e300],"queue_p99":[1e300],"unhealthy":[1e300],"checks_failed":[1e300]}`,
	} {
		at, _ := relayWithHistory(t, json.RawMessage(said))
		for _, form := range []string{"--json", "--csv", "--step=1m"} {
			out, _ := command(t, 0, "history", form, at)
			if strings.ContainsRune(out, 0x1b) || out == "" {
				t.Errorf("%s of %s: %q", form, said, out)
			}
		}
	}
}

// A relay answers at its socket and at its admin address, and says that it keeps nothing.
func TestHistoryOfARelay(t *testing.T) {
	r, admin, _ := inhabited(t)
	for _, args := range [][]string{{"--admin-socket", r.State().Socket}, {admin}} {
		out, _ := command(t, 0, append([]string{"history", "--since", "1h", "--json"}, args...)...)
		var kept struct{ history.Answer }
		if err := json.Unmarshal([]byte(out), &kept); err != nil || kept.StepS != 120 || len(kept.Seconds) < 30 || len(kept.Peers) != len(kept.Seconds) {
			t.Errorf("%s: %s, %v", args, out, err)
		}
	}
	off, _ := operated(t, func(c *config.Config) { c.Access.Everyone, c.Admin, c.History = true, "127.0.0.1:0", config.HistoryOff })
	for _, args := range [][]string{{"--admin-socket", off.State().Socket}, {"http://" + off.State().Admin}} {
		_, talk := command(t, 1, append([]string{"history"}, args...)...)
		wantMatch(t, talk, `^detour history: this relay keeps no history: its setting history is off`)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "<h1>It works!</h1>") }))
	defer page.Close()
	_, talk := command(t, 3, "history", page.URL)
	wantMatch(t, talk, "what answers there is something else.*or a relay that is too old to keep a history")
}
