package relaypage

import (
	"math"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/history"
	"github.com/detour-relay/detour/internal/page"
)

// A stretch is how far back charts go.
type stretch struct {
	back       time.Duration
	over, from string // as people say it
}

// stretches are those that there are. A relay that has just been started would have a day of
// which one corner is drawn.
var stretches = []stretch{{time.Hour, "last hour", "an hour ago"}, {6 * time.Hour, "last 6 hours", "6 hours ago"}, {24 * time.Hour, "last day", "a day ago"}}

// stretchOf is the shortest that has all that is known of the last day.
func stretchOf(kept *history.Answer) stretch {
	known := time.Duration(0)
	if first := slices.IndexFunc(kept.Seconds, func(s float64) bool { return s > 0 }); first >= 0 {
		known = kept.To.Sub(kept.From) - time.Duration(first)*time.Duration(kept.StepS)*time.Second
	}
	for _, s := range stretches {
		if known <= s.back {
			return s
		}
	}
	return stretches[len(stretches)-1]
}

// past draws the last day, or as much of it as is known; nil: no history is kept, or
// nothing is in it yet.
func (p *Page) past() []page.Chart {
	return p.charts.get(func() []page.Chart {
		if p.config.History == nil {
			return nil
		}
		now, all := time.Now(), stretches[len(stretches)-1]
		kept, err := p.config.History(history.Query{From: now.Add(-all.back)})
		if err != nil || kept == nil {
			return nil
		}
		of := stretchOf(kept)
		if of != all { // once more, in finer steps
			if kept, err = p.config.History(history.Query{From: now.Add(-of.back)}); err != nil || kept == nil {
				return nil
			}
		}
		return chartsOf(kept, of)
	})
}

// chartsOf draws what is kept: what was relayed, to how many, and what was not.
func chartsOf(kept *history.Answer, of stretch) []page.Chart {
	chart := func(what string) page.Chart {
		return page.Chart{Title: what + ", " + of.over, From: of.from, To: "now"}
	}
	traffic, crowd, drops := chart("Traffic"), chart("Peers"), chart("Drops")
	traffic.Draw(page.Rate, page.Figures{Name: "in", Values: perSecond(kept, kept.ReceivedBytes), Filled: true}, page.Figures{Name: "out", Values: perSecond(kept, kept.SentBytes)})
	crowd.Draw(page.Count, page.Figures{Name: "here", Values: kept.Peers, Filled: true}, page.Figures{Name: "at siblings", Values: kept.RemotePeers})
	drops.Draw(perSecondText, page.Figures{Name: "packets", Values: perSecond(kept, kept.DroppedPackets), Filled: true})
	return []page.Chart{traffic, crowd, drops}
}

func perSecondText(n float64) string {
	if n > 0 && n < 10 {
		return page.Tenths(n) + "/s"
	}
	return page.Count(n) + "/s"
}

// perSecond makes rates of what was summed up over each step.
func perSecond(kept *history.Answer, sums history.Series) []float64 {
	rates := make([]float64, len(sums))
	for i, sum := range sums {
		rates[i] = math.NaN()
		if i < len(kept.Seconds) && kept.Seconds[i] > 0 {
			rates[i] = sum / kept.Seconds[i]
		}
	}
	return rates
}
