package operate

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/who"
	"github.com/detour-relay/detour/internal/history"
)

// at is a figure of a step; NaN: there is none.
func at(s history.Series, step int) float64 {
	if step < 0 || step >= len(s) {
		return math.NaN()
	}
	return s[step]
}

func total(s history.Series) (sum float64) {
	for _, n := range s {
		if n > 0 { // NaN is not
			sum += n
		}
	}
	return sum
}

func writeHistoryCSV(w io.Writer, kept *history.Answer) error {
	head := []string{"from"}
	var all []history.Series
	for name, s := range kept.All() {
		head, all = append(head, cli.Clean(name, 80)), append(all, s)
	}
	out := csv.NewWriter(w)
	out.Write(head)
	for i := range kept.Seconds {
		row := []string{begins(kept, i).Format(time.RFC3339)}
		for _, s := range all {
			row = append(row, exact(at(s, i)))
		}
		out.Write(row)
	}
	out.Flush()
	return out.Error()
}

// exact is a figure as programs read it; empty: there is none.
func exact(n float64) string {
	if math.IsNaN(n) {
		return ""
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

// begins is when a step does.
func begins(kept *history.Answer, step int) time.Time {
	return kept.From.Add(time.Duration(step) * lengthOf(kept)).UTC()
}

func lengthOf(kept *history.Answer) time.Duration { return time.Duration(kept.StepS) * time.Second }

func printHistory(w io.Writer, kept *history.Answer) error {
	if total(kept.Seconds) == 0 {
		_, err := fmt.Fprintf(w, "nothing is known from %s to %s: the relay was off, or has begun less than a minute ago\n", cli.Moment(kept.From), cli.Moment(kept.To))
		return err
	}
	if _, err := fmt.Fprintln(w, summary(kept)); err != nil {
		return err
	}
	p := cli.PageOf(w)
	grid := historyGrid(kept, p.UTF8)
	if p.Height > 0 {
		grid.Fit(p.Width)
	}
	return grid.Print(w)
}

// summary is the whole in two lines.
func summary(kept *history.Answer) string {
	seconds := total(kept.Seconds)
	dropped := cli.Counted(int(total(kept.DroppedPackets)), "packet") + " dropped"
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(kept.Dropped)) {
		reasons = append(reasons, fmt.Sprintf("%s %.0f", cli.Clean(reason, 30), total(kept.Dropped[reason])))
	}
	if reasons != nil {
		dropped += " (" + strings.Join(reasons, ", ") + ")"
	}
	peers := 0.0 // seconds of peers
	for i := range kept.Seconds {
		if n := at(kept.Peers, i); n > 0 {
			peers += n * kept.Seconds[i]
		}
	}
	step := cli.Span(lengthOf(kept))
	return fmt.Sprintf("%s to %s in steps of %s, %s of it known\n%s in, %s out, %s, %s peers on average, %s, %.0f refused\n",
		minuteOf(kept.From), minuteOf(kept.To), &step, who.Lasting(time.Duration(seconds)*time.Second),
		who.Size(uint64(total(kept.ReceivedBytes))), who.Size(uint64(total(kept.SentBytes))), dropped, few(peers/seconds), cli.Counted(int(total(kept.Logins)), "login"), total(kept.Refused))
}

func minuteOf(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// few has a digit behind the point where that tells something.
func few(n float64) string {
	switch {
	case math.IsNaN(n):
		return ""
	case n < 10 && n != math.Trunc(n):
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// historyHeads are the columns; those that tell least give way first.
var historyHeads = []cli.Head{
	{Name: "from (UTC)"}, {Name: "traffic", Rank: 1}, {Name: "in/s", Right: true, Rank: 2}, {Name: "out/s", Right: true, Rank: 2}, {Name: "dropped", Right: true, Rank: 3},
	{Name: "peers", Right: true, Rank: 4}, {Name: "logins", Right: true, Rank: 6}, {Name: "refused", Right: true, Rank: 7}, {Name: "wait-p99", Right: true, Rank: 8},
	{Name: "cpu", Right: true, Rank: 9}, {Name: "memory", Right: true, Rank: 10}, {Name: "note", Rank: 5},
}

// barWidth is that of the column "traffic".
const barWidth = 16

// historyGrid has a line for each step, and one for all steps in a row of which nothing is
// known.
func historyGrid(kept *history.Answer, utf8 bool) *cli.Grid {
	bars := cli.Bars{Width: barWidth, Blocks: utf8}
	for i := range kept.Seconds {
		bars.Longest = max(bars.Longest, traffic(kept, i))
	}
	var rows [][]string
	for i := 0; i < len(kept.Seconds); i++ {
		if kept.Seconds[i] > 0 {
			rows = append(rows, stepRow(kept, i, bars))
			continue
		}
		off := i
		for i+1 < len(kept.Seconds) && kept.Seconds[i+1] <= 0 {
			i++
		}
		rows = append(rows, offRow(kept, off, i+1))
	}
	heads := slices.Clone(historyHeads)
	if last := len(heads) - 1; !slices.ContainsFunc(rows, func(row []string) bool { return row[last] != "" }) {
		heads[last].Rank = len(heads) // nothing is noted, so it goes first
	}
	return cli.NewGrid(heads, filled(rows))
}

// filled fills in what is unknown, except for bars and notes.
func filled(rows [][]string) [][]string {
	for _, row := range rows {
		for j := range row {
			if name := historyHeads[j].Name; name != "traffic" && name != "note" {
				row[j] = cli.Filled(row[j])
			}
		}
	}
	return rows
}

// traffic is what went in and out in a second.
func traffic(kept *history.Answer, step int) float64 {
	n := (at(kept.ReceivedBytes, step) + at(kept.SentBytes, step)) / kept.Seconds[step]
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return 0
	}
	return n
}

// offRow is for the steps from one to before another.
func offRow(kept *history.Answer, from, to int) []string {
	row := make([]string, len(historyHeads))
	row[0], row[1] = clock(begins(kept, from)), "off for "+who.Lasting(time.Duration(to-from)*lengthOf(kept))
	return row
}

func clock(t time.Time) string { return t.Format("Jan 02 15:04") }

func stepRow(kept *history.Answer, i int, bars cli.Bars) []string {
	seconds := kept.Seconds[i]
	bar := ""
	if n := traffic(kept, i); n > 0 {
		bar = bars.Draw(n)
	}
	cpu := ""
	if n := at(kept.CPU, i); !math.IsNaN(n) {
		cpu = strconv.FormatFloat(100*n/seconds, 'f', 0, 64) + "%"
	}
	memory := ""
	if n := at(kept.Memory, i); n > 0 {
		memory = who.Size(uint64(n))
	}
	delay := ""
	if n := at(kept.QueueP99, i); n > 0 {
		delay = who.Delay(time.Duration(n * 1e9))
	}
	return []string{
		clock(begins(kept, i)), bar, rate(at(kept.ReceivedBytes, i), seconds), rate(at(kept.SentBytes, i), seconds), few(at(kept.DroppedPackets, i)), few(at(kept.Peers, i)),
		few(at(kept.Logins, i)), few(at(kept.Refused, i)), delay, cpu, memory, note(kept, i),
	}
}

func rate(bytes, seconds float64) string {
	if math.IsNaN(bytes) {
		return ""
	}
	return cmp.Or(who.PerSecond(bytes/seconds), "0 B/s")
}

// note is what a person should know of a step.
func note(kept *history.Answer, i int) string {
	var notes []string
	length, known := lengthOf(kept), time.Duration(kept.Seconds[i])*time.Second
	inside := i < len(kept.Seconds)-1 && kept.To.Sub(begins(kept, i)) <= history.Minutes*time.Minute // all of it is past, and still kept
	if off := length - known; inside && off >= time.Minute {
		notes = append(notes, "off for "+who.Lasting(off))
	}
	if n := at(kept.Unhealthy, i); n > 0 {
		notes = append(notes, "unready for "+who.Lasting(time.Duration(max(n, 1))*time.Second))
	}
	if n := at(kept.ChecksFailed, i); n > 0 {
		notes = append(notes, cli.Counted(int(n), "self-check")+" failed")
	}
	return strings.Join(notes, ", ")
}
