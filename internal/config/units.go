package config

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Rate is bytes a second, written with its unit: "10Mbit/s", "1.25MB/s", or a
// plain number of bytes a second. 0: no limit.
type Rate int64

// A Size is bytes, written with its unit: "10TB", "500GiB", or a plain number.
type Size int64

// unit is one way to write a number of bytes.
type unit struct {
	name  string
	bytes float64
}

// units are longest first: GiB ends as B does. Letters may be of either case, where
// bits and bytes differ by more than that.
var units = sorted([]unit{
	{"B", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"PB", 1e15},
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"PiB", 1 << 50},
	{"bit", 1. / 8}, {"kbit", 1e3 / 8}, {"Mbit", 1e6 / 8}, {"Gbit", 1e9 / 8},
})

func sorted(all []unit) []unit {
	slices.SortFunc(all, func(a, b unit) int { return cmp.Compare(len(b.name), len(a.name)) })
	return all
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) error {
	said := strings.TrimSpace(string(text))
	n, err := bytesOf(strings.TrimSuffix(said, "/s"))
	if err != nil {
		return fmt.Errorf("%q is no rate: want a number with its unit, such as 10Mbit/s or 1.25MB/s; 0 for no limit", said)
	}
	*r = Rate(n)
	return nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	said := strings.TrimSpace(string(text))
	n, err := bytesOf(said)
	if err != nil || strings.HasSuffix(strings.ToLower(said), "bit") {
		return fmt.Errorf("%q is no size: want a number with its unit, such as 10TB or 500GiB", said)
	}
	*s = Size(n)
	return nil
}

func bytesOf(said string) (int64, error) {
	factor := 1.0
	for _, u := range units {
		if len(said) > len(u.name) && strings.EqualFold(said[len(said)-len(u.name):], u.name) {
			said, factor = strings.TrimSpace(said[:len(said)-len(u.name)]), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(said, 64)
	if err != nil {
		return 0, err
	}
	if n *= factor; !(n >= 0 && n < math.MaxInt64) {
		return 0, strconv.ErrRange
	}
	return int64(math.Round(n)), nil
}

// String is what UnmarshalText takes, in the largest unit that leaves a short number.
func (r Rate) String() string {
	if r == 0 {
		return "0"
	}
	return shortest(int64(r), []unit{{"Gbit", 1e9 / 8}, {"Mbit", 1e6 / 8}, {"kbit", 1e3 / 8}}, "B") + "/s"
}

// String is what UnmarshalText takes, in the largest unit that leaves a short number.
func (s Size) String() string {
	return shortest(int64(s), []unit{{"PB", 1e15}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}}, "B")
}

// shortest writes n exactly.
func shortest(n int64, in []unit, otherwise string) string {
	for _, u := range in {
		if float64(n) < u.bytes {
			continue
		}
		text := strconv.FormatFloat(float64(n)/u.bytes, 'f', -1, 64)
		if back, err := bytesOf(text + u.name); len(text) <= 5 && err == nil && back == n {
			return text + u.name
		}
	}
	return strconv.FormatInt(n, 10) + otherwise
}

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Limit is what one key may use, written "in=10Mbit/s out=20Mbit/s burst=1MB";
// what is left out is not limited, and a burst is one second's worth.
type Limit struct {
	In, Out Rate
	Burst   Size
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Limit) UnmarshalText(text []byte) error {
	var parsed Limit
	words := strings.FieldsFunc(string(text), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	said := make(map[string]bool)
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		if said[name] {
			return fmt.Errorf("%.40q: %s stands there twice: keep one", text, name)
		}
		said[name] = true
		var err error
		switch name {
		case "in":
			err = parsed.In.UnmarshalText([]byte(value))
		case "out":
			err = parsed.Out.UnmarshalText([]byte(value))
		case "burst":
			err = parsed.Burst.UnmarshalText([]byte(value))
		default:
			err = fmt.Errorf("%q: want in=RATE, out=RATE and burst=SIZE, such as in=10Mbit/s", word)
		}
		if err != nil {
			return err
		}
	}
	*l = parsed
	return nil
}

// String is what UnmarshalText takes.
func (l Limit) String() string {
	text := fmt.Sprintf("in=%s out=%s", l.In, l.Out)
	if l.Burst > 0 {
		text += " burst=" + l.Burst.String()
	}
	return text
}

// MarshalText implements encoding.TextMarshaler.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }
