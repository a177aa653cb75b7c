package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
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
		if i.HeldSeconds > 0 {
			fmt.Fprintf(w, "held\t%.1f s, %d connections lost\n", i.HeldSeconds, r.Lost.Count)
		}
	}
	if r.Seconds > 0 {
		printTraffic(w, r)
	}
	printProcess(w, "relay", r.Relay)
	printProcess(w, "this process", r.Self)
	if q := r.QuietPair; q != nil {
		fmt.Fprintf(w, "quiet pair\t%d packets there and back, %.4g%% lost\n", q.Sent, q.LossPercent)
		if t := q.RoundTrip; t != nil {
			fmt.Fprintf(w, "\tp50 %s, p90 %s, p99 %s, max %s\n", cli.Millis(t.P50), cli.Millis(t.P90), cli.Millis(t.P99), cli.Millis(t.Max))
		}
	}
	return w.Flush()
}

func printIdle(w io.Writer, i *load.Idle) {
	fmt.Fprintf(w, "idle peers\t%d, logged in within %.1f s\n", i.Peers, i.LoginSeconds)
	if i.ResidentAfter > 0 {
		fmt.Fprintf(w, "resident memory\t%s, %s before: %s per idle peer after %.0f s\n",
			cli.Bytes(i.ResidentAfter), cli.Bytes(i.ResidentBefore), cli.Bytes(int64(i.BytesPerPeer)), i.SettledSeconds)
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
	fmt.Fprintf(w, "\t%d sent = %d delivered + %d lost; loss %.4g%% of what was offered\n",
		p.Sent, p.Delivered, p.Lost, p.OfferedLossPercent)
	if l := r.Latency; l != nil {
		fmt.Fprintf(w, "one way\tp50 %s, p90 %s, p99 %s, max %s\n", cli.Millis(l.P50), cli.Millis(l.P90), cli.Millis(l.P99), cli.Millis(l.Max))
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
	cpu := fmt.Sprintf("%.2f s of CPU", p.CPUSeconds)
	if p.CPUPerPacketUS > 0 {
		cpu += fmt.Sprintf(", %.2f us per packet", p.CPUPerPacketUS)
	}
	fmt.Fprintf(w, "%s\tpid %d: %s, %s resident (%s at most)\n",
		name, p.PID, cpu, cli.Bytes(p.ResidentEnd), cli.Bytes(p.ResidentPeak))
}
