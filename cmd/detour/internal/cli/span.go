package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// mostSpan bounds spans: times beyond are a slip of the pen.
const mostSpan = 100 * 365 * 24 * time.Hour

// A Span is a time that an order counts: hours and such, or days.
type Span time.Duration

var errSpan = errors.New("want a time such as 90m, 12h or 30d")

func (s *Span) Set(text string) error {
	total := time.Duration(0)
	days, rest, hasDays := strings.Cut(text, "d")
	if hasDays {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || !(n >= 0 && n <= math.MaxInt32) {
			return errSpan
		}
		total = time.Duration(min(n*24*float64(time.Hour), float64(2*mostSpan)))
		text = rest
	}
	if !hasDays || rest != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return errSpan
		}
		total += d
	}
	if total < time.Second || total > mostSpan {
		return fmt.Errorf("%w, from 1s to 100 years", errSpan)
	}
	*s = Span(total.Round(time.Second))
	return nil
}

func (s *Span) String() string {
	if *s == 0 {
		return ""
	}
	d := time.Duration(*s)
	if days := d / (24 * time.Hour); d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", days)
	}
	text := d.String()
	for _, none := range []string{"0s", "0m"} { // 12h, not 12h0m0s
		if rest, ok := strings.CutSuffix(text, none); ok && rest != "" && strings.ContainsAny(rest[len(rest)-1:], "hm") {
			text = rest
		}
	}
	return text
}

func (*Span) Type() string { return "time" }

// Filled has something in each column of a table.
func Filled(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// Moment is a time as tables have it; empty if there is none.
func Moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
