package page

import (
	"fmt"
	"html/template"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// functions are what templates may call.
var functions = template.FuncMap{
	"text": Text, "bytes": func(n any) string { return Bytes(number(n)) }, "count": func(n any) string { return Count(number(n)) }, "rate": Rate, "span": Span, "ago": Ago, "at": At, "stamp": Stamp, "percent": func(part, whole any) string { return Percent(number(part), number(whole)) },
	"until": func(t time.Time) string { return Span(time.Until(t)) },
}

// number is what a template has, whose numbers are of many types.
func number(n any) float64 {
	switch v := reflect.ValueOf(n); {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	case v.CanFloat():
		return v.Float()
	}
	return math.NaN()
}

// mostMarks is how many marks may stand on a letter: some would climb over the lines
// above.
const mostMarks = 2

// Text is what somebody else has written, fit to be shown in one line: what cannot be
// printed, or turns the direction of what follows, is told as the number that it has,
// and there are so many characters at most.
func Text(s string, most int) string {
	var out strings.Builder
	shown, marks := 0, 0
	for _, r := range s {
		if shown++; shown > most {
			out.WriteString("…")
			break
		}
		if marks++; !unicode.Is(unicode.M, r) {
			marks = 0
		}
		switch {
		case r == unicode.ReplacementChar || !unicode.IsPrint(r) || marks > mostMarks:
			fmt.Fprintf(&out, "\\u%04x", r)
			shown += 5
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// Bytes is an amount in three digits.
func Bytes(n float64) string { return scaled(n, "B") }

// Rate is an amount a second.
func Rate(perSecond float64) string { return scaled(perSecond, "B") + "/s" }

// scaled has a number with a decimal prefix.
func scaled(n float64, unit string) string {
	prefix := ""
	for _, p := range []string{"k", "M", "G", "T", "P", "E"} {
		if math.Round(n) < 1000 {
			break
		}
		n, prefix = n/1000, p
	}
	switch {
	case prefix == "":
		return strconv.FormatFloat(math.Round(n), 'f', 0, 64) + " " + unit
	case n < 9.95:
		return Tenths(n) + " " + prefix + unit
	}
	return strconv.FormatFloat(n, 'f', 0, 64) + " " + prefix + unit
}

// Count is a number with its thousands apart.
func Count(n float64) string {
	digits := strconv.FormatFloat(math.Round(n), 'f', -1, 64)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:]
	}
	return digits
}

// Tenths is a small number, to one tenth.
func Tenths(n float64) string { return strconv.FormatFloat(n, 'f', 1, 64) }

// Percent is a part of a whole.
func Percent(part, whole float64) string {
	switch share := 100 * part / whole; {
	case whole == 0 || part == 0:
		return "0 %"
	case share < 0.1:
		return "< 0.1 %"
	case share < 9.95:
		return Tenths(share) + " %"
	default:
		return strconv.FormatFloat(share, 'f', 0, 64) + " %"
	}
}

// Span is a time in its two largest units.
func Span(d time.Duration) string {
	day := 24 * time.Hour
	switch {
	case d < 0:
		return "-" + Span(-d)
	case d < time.Millisecond:
		return strconv.FormatInt(d.Microseconds(), 10) + " µs"
	case d < time.Second:
		return strconv.FormatFloat(float64(d)/1e6, 'f', 0, 64) + " ms"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
	}
}

// Ago is how long ago a moment was.
func Ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return Span(max(0, time.Since(t))) + " ago"
}

// At is a moment for people; Stamp is the same for machines.
func At(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Stamp is a moment for machines.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
