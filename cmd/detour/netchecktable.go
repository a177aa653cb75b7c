package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// regionTable has the regions with their latencies: in one column, or in one for each family if both were measured.
type regionTable struct {
	regions []netcheckRegion
	labels  []string
	width   int // of the widest label
	columns []latencyColumn
	bars    cli.Bars
}

type latencyColumn struct {
	head string
	of   func(*netcheckRegion) *float64
}

const latencyWidth = 10

func newRegionTable(r netcheckReport, on cli.Page) *regionTable {
	t := &regionTable{regions: r.Regions, labels: regionLabels(r.Regions), width: len("region"), columns: latencyColumns(r)}
	for _, label := range t.labels {
		t.width = max(t.width, utf8.RuneCountInString(label))
	}
	t.bars = cli.Bars{Width: on.Width - t.width - latencyWidth*len(t.columns) - len("  "), Blocks: on.UTF8}
	for _, region := range r.Regions {
		if region.LatencyMS != nil {
			t.bars.Longest = max(t.bars.Longest, *region.LatencyMS)
		}
	}
	return t
}

func latencyColumns(r netcheckReport) []latencyColumn {
	if r.IPv4 && r.IPv6 {
		return []latencyColumn{
			{"IPv4", func(region *netcheckRegion) *float64 { return region.IPv4MS }},
			{"IPv6", func(region *netcheckRegion) *float64 { return region.IPv6MS }},
		}
	}
	return []latencyColumn{{"latency", func(region *netcheckRegion) *float64 { return region.LatencyMS }}}
}

// regionLabels returns number, code and name of each, one below the other.
func regionLabels(regions []netcheckRegion) (labels []string) {
	number, code := 0, 0
	for _, r := range regions {
		number = max(number, len(fmt.Sprint(r.Region)))
		code = max(code, utf8.RuneCountInString(cli.Clean(r.Code, maxCode)))
	}
	for _, r := range regions {
		label := fmt.Sprintf("%*d %-*s  %s", number, r.Region, code, cli.Clean(r.Code, maxCode), cli.Clean(r.Name, maxName))
		labels = append(labels, strings.TrimRight(label, " "))
	}
	return labels
}

func (t *regionTable) write(text *strings.Builder) {
	fmt.Fprintf(text, "%-*s", t.width, "region")
	for _, c := range t.columns {
		fmt.Fprintf(text, "%*s", latencyWidth, c.head)
	}
	text.WriteString("\n")
	for i := range t.regions {
		t.writeRow(text, t.labels[i], &t.regions[i])
	}
}

func (t *regionTable) writeRow(text *strings.Builder, label string, r *netcheckRegion) {
	fmt.Fprintf(text, "%-*s", t.width, label)
	if r.LatencyMS == nil {
		fmt.Fprintf(text, "  %s\n", cli.Clean(r.WhyNot, maxWhyNot))
		return
	}
	for _, c := range t.columns {
		fmt.Fprintf(text, "%*s", latencyWidth, latencyText(c.of(r)))
	}
	if bar := t.bars.Draw(*r.LatencyMS); bar != "" {
		text.WriteString("  " + bar)
	}
	text.WriteString("\n")
}

func latencyText(ms *float64) string {
	switch {
	case ms == nil:
		return "-"
	case *ms < 1:
		return fmt.Sprintf("%.2f ms", *ms)
	}
	return fmt.Sprintf("%.1f ms", *ms)
}
