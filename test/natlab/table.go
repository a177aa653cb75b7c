package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// longestFirst is an order in which all are done soon.
func longestFirst(all []scenario) []int {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	weight := func(i int) time.Duration {
		d := all[i].hold
		if all[i].then != nil {
			d += time.Second
		}
		return d
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(weight(j), weight(i)) })
	return order
}

// report prints the table, and what differs. It returns the exit status.
func report(w io.Writer, all []scenario, results []*result) (status int) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\texpected\tfound\truns\tdirect p50\tp95\tlost\tflaps\tafter the event\tp50\tp95\tlost by it\t")
	var took []time.Duration
	lost := 0
	for i, s := range all {
		r := results[i]
		took, lost = append(took, r.took...), lost+r.lost
		verdict := ""
		if len(r.errs) > 0 {
			verdict, status = "DIFFERS", 1
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%d\t%d\t%s\t%s\n", s.name, s.expected(), r.was(), r.runs,
			quantile(r.took, 50), quantile(r.took, 95), r.lost, r.flaps, r.after(), verdict)
	}
	t.Flush()
	fmt.Fprintf(w, "\ndirect, all %d: p50 %s, p95 %s; lost by the change: %d\n", len(took), quantile(took, 50), quantile(took, 95), lost)
	for i, s := range all {
		for _, err := range results[i].errs {
			fmt.Fprintf(w, "\n%s: %v\n", s.name, err)
		}
		if results[i].detail != "" {
			fmt.Fprintln(w, results[i].detail)
		}
	}
	return status
}

func (s *scenario) expected() string {
	if s.then != nil {
		return s.want + ", " + s.then.want
	}
	return s.want
}

func (r *result) was() string {
	if r.then != "" {
		return r.found + ", " + r.then
	}
	return r.found
}

// after is what the event has come to: until the last change, and packets lost.
func (r *result) after() string {
	if len(r.gone) == 0 {
		return "\t\t\t"
	}
	var gone []string
	for _, n := range r.gone {
		gone = append(gone, fmt.Sprint(n))
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s", r.then, quantile(r.again, 50), quantile(r.again, 95), strings.Join(gone, " "))
}

// quantile is that of a few, in ms: with less than 20 the 95th is the largest.
func quantile(all []time.Duration, percent int) string {
	if len(all) == 0 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(all))
	i := (len(sorted)*percent + 99) / 100
	return fmt.Sprintf("%d ms", sorted[max(0, i-1)].Milliseconds())
}
