package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/probe"
)

// checkMarks are what a reader sees of a status: what failed stands out.
var checkMarks = map[probe.Status]string{probe.OK: "ok", probe.Warn: "warn", probe.Fail: "FAIL", probe.Skip: "-"}

// checkPrinter writes the checks of each node as soon as they are made.
type checkPrinter struct {
	out      io.Writer
	progress *cli.ProgressLine
	quiet    bool // only what warns or fails

	region *probe.Region // whose head was written last
	done   int           // nodes
	total  int
	err    error // of the first write that failed
}

func newCheckPrinter(out io.Writer, progress *cli.ProgressLine, quiet bool) *checkPrinter {
	return &checkPrinter{out: out, progress: progress, quiet: quiet}
}

// follow has the printer told of what is done.
func (p *checkPrinter) follow(cfg *probe.Config) {
	if cfg.Map != nil && cfg.Region == "" && cfg.Node == "" {
		for _, id := range cfg.Map.IDs() {
			p.total += len(cfg.Map.Regions[id].Nodes)
		}
	}
	cfg.OnMap = func(checks []probe.Check) {
		p.write(p.block("map", checks))
		p.wait()
	}
	cfg.OnNode = func(r *probe.Region, n *probe.Node) {
		p.done++
		p.write(p.regionHead(r, p.block(nodeTitle(n), n.Checks)))
		p.wait()
	}
	cfg.OnRegion = func(r *probe.Region) { p.write(p.regionHead(r, p.block("between the nodes", r.Checks))) }
}

// wait shows a person that there is more to come.
func (p *checkPrinter) wait() {
	if p.total > 1 && p.done < p.total {
		p.progress.Show(cli.Progress{Stage: "checking nodes", Done: p.done, Total: p.total})
	}
}

func (p *checkPrinter) write(text string) {
	if text == "" {
		return
	}
	p.progress.Clear()
	if _, err := io.WriteString(p.out, text); err != nil && p.err == nil {
		p.err = err
	}
}

// regionHead puts the name of the region before the first text about it.
func (p *checkPrinter) regionHead(r *probe.Region, text string) string {
	if text == "" || p.region == r || r.ID == 0 {
		return text
	}
	p.region = r
	return strings.TrimSpace(fmt.Sprintf("region %d %s", r.ID, strings.TrimSpace(r.Code+" "+r.Name))) + "\n\n" + text
}

// nodeTitle is a node's name and where it is. The node of a URL has no other name.
func nodeTitle(n *probe.Node) string {
	if strings.Contains(n.URL, "//"+n.Name+"/") {
		return n.URL
	}
	return n.Name + "  " + n.URL
}

// block is a title with its checks, "" without any to show.
func (p *checkPrinter) block(title string, checks []probe.Check) string {
	var text bytes.Buffer
	width := nameWidth(checks)
	for _, c := range checks {
		if c.Status == probe.Skip || p.quiet && c.Status == probe.OK {
			continue
		}
		fmt.Fprintf(&text, "  %-4s  %-*s  %s\n", checkMarks[c.Status], width, checkTitle(c), c.Detail)
		if c.Remedy != "" {
			fmt.Fprintf(&text, "  %-4s  %-*s  -> %s\n", "", width, "", c.Remedy)
		}
	}
	if !p.quiet {
		for _, line := range skipped(checks) {
			fmt.Fprintf(&text, "  %-4s  %-*s  %s\n", checkMarks[probe.Skip], width, "skipped", line)
		}
	}
	if text.Len() == 0 {
		return ""
	}
	return title + "\n" + text.String() + "\n"
}

// skipped says in one line for each reason what was not checked.
func skipped(checks []probe.Check) (lines []string) {
	var reasons []string
	names := make(map[string][]string)
	for _, c := range checks {
		if c.Status != probe.Skip {
			continue
		}
		if names[c.Detail] == nil {
			reasons = append(reasons, c.Detail)
		}
		names[c.Detail] = append(names[c.Detail], checkTitle(c))
	}
	for _, reason := range reasons {
		lines = append(lines, strings.Join(names[reason], ", ")+": "+reason)
	}
	return lines
}

func checkTitle(c probe.Check) string {
	if c.From == "" {
		return c.Name
	}
	return fmt.Sprintf("%s %s > %s", c.Name, c.From, c.To)
}

// nameWidth is that of the longest name, so that all details begin below each other; those of nodes do so in all blocks.
func nameWidth(checks []probe.Check) int {
	width := len("websocket")
	for _, c := range checks {
		width = max(width, len(checkTitle(c)))
	}
	return width
}

// sumUp writes the last line.
func (p *checkPrinter) sumUp(r *probe.Report) error {
	c := r.Counts
	p.write(fmt.Sprintf("%d ok, %s, %d failed, %d skipped, in %.1f s\n",
		c.OK, cli.Counted(c.Warn, "warning"), c.Fail, c.Skip, r.Took.Seconds()))
	return p.err
}
