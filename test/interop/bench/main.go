// Command bench measures our relay beside the reference derper: same machine, same run, in turns. It
// prints one table, writes one JSON file, and puts the latest table into docs/performance.md.
//
//	cd test/interop && go run ./bench                         # everything, about an hour and a half
//	cd test/interop && go run ./bench -rounds 1 -seconds 2    # a quick look, about half an hour
//	cd test/interop && go run ./bench -rows engine            # what the engine must reach; three quarters of an hour
//	cd test/interop && go run ./bench -rows goodput,loss      # some rows; the document stays as it is
//	cd test/interop && go run ./bench -rows frontdoor         # who may come in, and how much; about five minutes
//	cd test/interop && go run ./bench -rows coord             # the coordination server; about half an hour
//
// The words: a measurement is one load put on one relay in one round (measurements.go); a row is one line
// of the table, computed from the medians of measurements (rows.go). Relays are processes of their own,
// started anew for each measurement, alone or as a region (mesh.go), with TLS 1.3 and a certificate for 127.0.0.1; the load comes from
// `detour bench`, which treats every relay alike. What is measured by other means is listed in others.go.
//
// Limits: relay and generator share the machine, so only ratios of one run mean something. It needs Linux
// for CPU times and memory, and the download row needs root (see the package tailnet).
//
// Exit status: 0 every row reached its mark, 1 one did not, 2 wrong usage, 3 the
// benchmark could not be made.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type options struct {
	rounds  int
	seconds int
	rows    string // names, or beginnings of them; empty: all
	out     string
	doc     string
	root    string

	before   string
	download string
	away     time.Duration
}

// during is the length of one measurement.
func (o options) during() time.Duration { return time.Duration(o.seconds) * time.Second }

// docPath is the document to update, empty if none: one with some of the rows would mislead.
func (o options) docPath() string {
	if o.doc == "" || o.rows != "" {
		return ""
	}
	return filepath.Join(o.root, o.doc)
}

func main() {
	crowdMain()
	crewMain()
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "how often each measurement is made; rows show medians")
	flag.IntVar(&o.seconds, "seconds", 4, "length of one measurement")
	flag.StringVar(&o.rows, "rows", "", "comma list of rows (a beginning of their names is enough); engine: what the engine must reach; empty: all")
	flag.StringVar(&o.out, "out", "bench-results", "directory for the JSON file, below the repository's root; empty: none")
	flag.StringVar(&o.doc, "doc", "docs/performance.md", "document whose table is replaced, below the repository's root, if all rows are measured; empty: none")
	flag.StringVar(&o.root, "root", "../..", "root of the repository")
	flag.StringVar(&o.before, "before", "", "another `program` of ours, of an earlier build, to compare the CPU time with; empty: this one, open to everybody")
	flag.StringVar(&o.download, "download", "", "JSON `file` of an earlier download between tsnet nodes; empty: the download is made now")
	flag.DurationVar(&o.away, "away", awayTime, "how long there is no coordinator in the row coord-away; a minute or more")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.seconds < 2 || o.away < time.Minute {
		fmt.Fprintln(os.Stderr, "bench: want no arguments, -rounds of 1 or more, -seconds of 2 or more and -away of 1m or more; see -help")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	reached, err := run(ctx, o)
	stop()
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(3)
	case !reached:
		os.Exit(1)
	}
}

// run makes the whole benchmark and says whether all rows reached their marks.
func run(ctx context.Context, o options) (reached bool, err error) {
	rows, err := choose(allRows(o), o.rows)
	if err != nil {
		return false, err
	}
	if err := checkDoc(o); err != nil {
		return false, err // now, not when everything is measured
	}
	began := time.Now()
	stage, err := prepare(ctx, o)
	if err != nil {
		return false, err
	}
	defer stage.cleanUp()
	m, err := stage.machine()
	if err != nil {
		return false, err
	}
	results, err := stage.measureAll(ctx, needs(rows))
	if err != nil {
		return false, err
	}
	report := newReport(o, m, rows, results, began)
	if err := report.print(os.Stdout); err != nil {
		return false, err
	}
	if o.out != "" {
		if err := report.writeJSON(filepath.Join(o.root, o.out)); err != nil {
			return false, err
		}
	}
	if doc := o.docPath(); doc != "" {
		if err := report.updateDoc(doc); err != nil {
			return false, err
		}
	}
	return report.reached(), nil
}

// engineWords are what -rows engine stands for.
const engineWords = "goodput,scale,cpu,rtt-100,rtt-500,flood,bother,starve,login,memory,mesh-cpu,download,allocs,whole"

// choose picks the rows whose names begin with one of the words.
func choose(rows []row, words string) (chosen []row, err error) {
	if words == "" {
		return rows, nil
	}
	if words == "engine" {
		words = engineWords
	}
	for word := range strings.SplitSeq(words, ",") {
		found := false
		for _, r := range rows {
			if strings.HasPrefix(r.name, strings.TrimSpace(word)) {
				chosen, found = append(chosen, r), true
			}
		}
		if !found {
			return nil, fmt.Errorf("-rows: no row's name begins with %q; the rows are %s", word, names(rows))
		}
	}
	return chosen, nil
}

func names(rows []row) string {
	var all []string
	for _, r := range rows {
		all = append(all, r.name)
	}
	return strings.Join(all, ", ")
}

// talk tells how far the benchmark is.
func talk(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format, args...)
}
