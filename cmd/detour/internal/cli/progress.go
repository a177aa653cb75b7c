package cli

import (
	"fmt"
	"io"
	"time"
)

// Progress is how far a command is.
type Progress struct {
	Stage       string
	Done, Total int           // where there is something to count
	Left        time.Duration // of a stage that takes a known time
	MbitPerS    float64       // arriving, in stages with traffic
}

// ProgressLine rewrites one line of a terminal; elsewhere it says nothing.
type ProgressLine struct {
	w    io.Writer // nil: nobody is watching
	last time.Time
}

// NewProgressLine returns a line on w, if that is a terminal.
func NewProgressLine(w io.Writer) *ProgressLine {
	if !IsTerminal(w) {
		w = nil
	}
	return &ProgressLine{w: w}
}

const eraseLine = "\r\x1b[K"

// leastShown is how long a text has to stand so that a reader can follow.
const leastShown = 100 * time.Millisecond

// Show may be called often; what comes too fast for a reader is left out.
func (l *ProgressLine) Show(p Progress) {
	if l.w == nil || time.Since(l.last) < leastShown {
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

// Clear takes the line away.
func (l *ProgressLine) Clear() {
	if l.w != nil {
		io.WriteString(l.w, eraseLine) // talk
	}
}
