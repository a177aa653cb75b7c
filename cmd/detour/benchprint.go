package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/detour-relay/detour/internal/load"
)

// printBench writes the report as a table for people.
func printBench(out io.Writer, r *load.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "%s\n", r.URL)
	if r.FarURL != "" {
		fmt.Fprintf(w, "receivers at %s\n", r.FarURL)
	}
	fmt.Fprintln(w)
	if i := r.Idle; i != nil {
		printIdle(w, i)
	}
	if r.Seconds > 0 {
		printTraffic(w, r)
	}
	printProcess(w, "relay", r.Relay)
	printProcess(w, "this process", r.Self)
	if q := r.QuietPair; q != nil {
		fmt.Fprintf(w, "quiet pair\t%d packets there and back, %.4g%% lost\n", q.Sent, q.LossPercent)
		if t := q.RoundTrip; t != nil {
			fmt.Fprintf(w, "\tp50 %s, p90 %s, p99 %s, max %s\n", millis(t.P50), millis(t.P90), millis(t.P99), millis(t.Max))
		}
	}
	return w.Flush()
}

func printIdle(w io.Writer, i *load.Idle) {
	fmt.Fprintf(w, "idle peers\t%d, logged in within %.1f s\n", i.Peers, i.LoginSeconds)
	if i.ResidentAfter > 0 {
		fmt.Fprintf(w, "resident memory\t%s, %s before: %s per idle peer after %.0f s\n",
			bytesText(i.ResidentAfter), bytesText(i.ResidentBefore), bytesText(int64(i.BytesPerPeer)), i.SettledSeconds)
	}
}

func printTraffic(w io.Writer, r *load.Report) {
	rate := "as fast as it goes"
	if r.RateBitPerS > 0 {
		rate = fmt.Sprintf("%.4g Mbit/s offered", float64(r.RateBitPerS)/1e6)
	}
	fmt.Fprintf(w, "load\t%s, %d (%s), packets of %d bytes, %d per write, %.1f s\n",
		rate, r.Pairs, r.Pattern, r.SizeBytes, r.PacketsAWrite, r.Seconds)
	p := r.Packets
	fmt.Fprintf(w, "goodput\t%.1f Mbit/s, %.0f packets/s\n", p.GoodputMbitPerS, p.ArrivedPerS)
	fmt.Fprintf(w, "packets\t%d offered = %d sent + %d not sent\n", p.Offered, p.Sent, p.Unsent)
	fmt.Fprintf(w, "\t%d sent = %d delivered + %d lost; missing %.4g%% of what was offered\n",
		p.Sent, p.Delivered, p.Lost, p.MissingPercent)
	if l := r.Latency; l != nil {
		fmt.Fprintf(w, "one way\tp50 %s, p90 %s, p99 %s, max %s\n", millis(l.P50), millis(l.P90), millis(l.P99), millis(l.Max))
	}
	fmt.Fprintf(w, "streams\t%d broken, %d connections lost\n", r.Broken.Streams, r.Lost.Count)
	if s := r.Stall; s != nil {
		fmt.Fprintf(w, "stalled pair\t%d packets sent to the receiver that never reads\n", s.Sent)
	}
}

func printProcess(w io.Writer, name string, p *load.Process) {
	if p == nil {
		return
	}
	fmt.Fprintf(w, "%s\tpid %d: %.2f s of CPU, %.2f us per packet, %s resident (%s at most)\n",
		name, p.PID, p.CPUSeconds, p.CPUPerPacketUS, bytesText(p.ResidentEnd), bytesText(p.ResidentPeak))
}

func bytesText(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
}

// progressLine rewrites one line of a terminal; elsewhere it says nothing.
type progressLine struct {
	w    io.Writer // nil: nobody is watching
	last time.Time
}

func newProgressLine(w io.Writer) *progressLine {
	if !isTerminal(w) {
		w = nil
	}
	return &progressLine{w: w}
}

const eraseLine = "\r\x1b[K"

// show may be called often; what comes too fast for a reader is left out.
func (l *progressLine) show(p load.Progress) {
	if l.w == nil || time.Since(l.last) < 100*time.Millisecond {
		return
	}
	l.last = time.Now()
	fmt.Fprintf(l.w, "%s%s", eraseLine, p.Stage)
	if p.Total > 0 {
		fmt.Fprintf(l.w, "  %d of %d", p.Done, p.Total)
	}
	if p.Left > 0 {
		fmt.Fprintf(l.w, "  %.0f s left", p.Left.Seconds())
	}
	if p.MbitPerS > 0 {
		fmt.Fprintf(l.w, "  %.1f Mbit/s arriving", p.MbitPerS)
	}
}

func (l *progressLine) clear() {
	if l.w != nil {
		io.WriteString(l.w, eraseLine) // talk
	}
}
