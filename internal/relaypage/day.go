package relaypage

import (
	"math"
	"time"

	"github.com/detour-relay/detour/internal/history"
	"github.com/detour-relay/detour/internal/page"
)

// day draws the last day; nil: no history is kept, or nothing is in it yet.
func (p *Page) day() []page.Chart {
	return p.charts.get(func() []page.Chart {
		if p.config.History == nil {
			return nil
		}
		kept, err := p.config.History(history.Query{From: time.Now().Add(-24 * time.Hour)})
		if err != nil || kept == nil {
			return nil
		}
		return dayOf(kept)
	})
}

// dayOf draws what is kept in two charts: what was relayed, and to how many.
func dayOf(kept *history.Answer) []page.Chart {
	traffic := page.Chart{Title: "Traffic, last day", From: "a day ago", To: "now"}
	traffic.Draw(page.Rate, page.Figures{Name: "in", Values: perSecond(kept, kept.ReceivedBytes), Filled: true}, page.Figures{Name: "out", Values: perSecond(kept, kept.SentBytes)})
	crowd := page.Chart{Title: "Peers, last day", From: "a day ago", To: "now"}
	crowd.Draw(page.Count, page.Figures{Name: "here", Values: kept.Peers, Filled: true}, page.Figures{Name: "at siblings", Values: kept.RemotePeers})
	drops := page.Chart{Title: "Drops, last day", From: "a day ago", To: "now"}
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
