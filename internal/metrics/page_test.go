package metrics

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const pagePath = "../../docs/metrics.md"

// The page that lists all metrics is made from the tables.
func TestPageHasEachMetric(t *testing.T) {
	want := pageText(t)
	if *update {
		if err := os.WriteFile(pagePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(pagePath); err != nil || string(got) != want {
		t.Errorf("%s: it has other metrics (%v): go test ./internal/metrics -run Page -update", pagePath, err)
	}
}

func pageText(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# All metrics

Made from the tables in the source (` + "`go test ./internal/metrics -run Page -update`" + `); nothing else says what a number is called. [watch.md](watch.md) says how to have them
scraped and what to look at. No label is a key, an address or a name of anybody: the values of labels are listed where they are always the same.
A counter begins at 0 with the process. A histogram has ` + "`_bucket`, `_sum` and `_count`" + `. What a server does not have, such as STUN, has no numbers.

`)
	b.WriteString("## The relay\n\nAt `/metrics` of `metrics:`, with `go_*` and `process_*` of the Go runtime and the process.\n\n")
	writeRows(&b, rowsOf(admin.Metrics), quietRelay(t))
	b.WriteString("\nThese sums hold whenever nothing is under way; tests check them after traffic.\n\n")
	for _, s := range admin.Sums {
		fmt.Fprintf(&b, "- `%s`\n", s.Text)
	}
	b.WriteString("\n## The relay, by derper's names\n\nAt `/debug/varz` of the same address, with derper 1.104's types and labels. A real derper's are compared with them in test/interop.\n\n")
	writeRows(&b, derpers, quietRelay(t))
	b.WriteString("\n## The coordinator\n\nAt `/metrics` of `detour coord --metrics`, with `go_*` and `process_*`. What both have is called the same.\n\n")
	writeRows(&b, rowsOf(coordserver.Metrics), coordserver.State{Scrapes: new(front.Scrapes)})
	b.WriteString("\nThese hold at any time.\n\n")
	for _, s := range coordserver.Sums {
		fmt.Fprintf(&b, "- `%s`\n", s.Text)
	}
	return b.String()
}

// quietRelay is the state of one that nobody has used, for the values of its labels.
func quietRelay(t *testing.T) admin.Status {
	r, err := relay.New(relay.Config{Key: key.NewPrivate()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Shutdown(t.Context()) })
	s := busy()
	s.Relay, s.Scrapes, s.Access = r.Survey(), new(front.Scrapes), nil // whose sources have names by what is asked
	return s
}

func writeRows[S any](b *strings.Builder, rows []row[S], s S) {
	b.WriteString("| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", r.name, r.kind, unitOf(r), labelsOf(r, s), r.help)
	}
}

func unitOf[S any](r row[S]) string {
	for _, unit := range []string{"bytes", "seconds"} {
		if strings.HasSuffix(strings.TrimSuffix(r.name, "_total"), "_"+unit) || strings.Contains(r.name, unit) {
			return unit
		}
	}
	return ""
}

// labelsOf are the names of the labels, and the values that there always are.
func labelsOf[S any](r row[S], s S) string {
	if len(r.labels) == 0 {
		return ""
	}
	values := make([][]string, len(r.labels))
	r.values(&s, func(_ float64, labels ...string) {
		for i, value := range labels {
			if !slices.Contains(values[i], value) {
				values[i] = append(values[i], value)
			}
		}
	})
	var all []string
	for i, label := range r.labels {
		text := "`" + label + "`"
		if slices.Sort(values[i]); len(values[i]) > 0 && label != "version" {
			text += ": " + strings.Join(values[i], ", ")
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// A name stands for one meaning, in whichever table it is.
func TestTablesAgree(t *testing.T) {
	relays := make(map[string]row[admin.Status])
	for _, r := range rowsOf(admin.Metrics) {
		relays[r.name] = r
	}
	for _, c := range rowsOf(coordserver.Metrics) {
		if r, both := relays[c.name]; both && (r.help != c.help || r.kind != c.kind || !slices.Equal(r.labels, c.labels)) {
			t.Errorf("%s: %q and %q", c.name, r.help, c.help)
		}
	}
}
