package operate

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/key"
)

// parseKeys reads the keys of peers. What may be a secret is not repeated.
func parseKeys(args []string) (keys []key.Public, err error) {
	seen := make(map[key.Public]bool, len(args))
	for i, text := range args {
		k, err := key.ParsePublic(text)
		if err != nil {
			return nil, notKey(i+1, text, err)
		}
		if k.IsZero() {
			return nil, cli.Usagef("%q is all zeros, which nobody has", text)
		}
		if !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func notKey(n int, text string, err error) error {
	if _, secret := key.ParsePrivate(text); secret == nil || strings.HasPrefix(text, "privkey:") {
		return cli.Usagef("argument %d is a private key: keep it secret (the shell may remember this line), and give the public key, nodekey:<hex>", n)
	}
	if !strings.HasPrefix(text, "nodekey:") { // whatever it is
		return cli.Usagef("argument %d is not the key of a peer: %w", n, err)
	}
	return cli.Usagef("%q is not the key of a peer: %w", cli.Clean(text, 80), err)
}

// A span is a time that an order counts: hours and such, or days.
type span time.Duration

var errSpan = errors.New("want a time such as 90m, 12h or 30d")

func (s *span) Set(text string) error {
	total := time.Duration(0)
	days, rest, hasDays := strings.Cut(text, "d")
	if hasDays {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || !(n >= 0 && n <= math.MaxInt32) {
			return errSpan
		}
		total = time.Duration(min(n*24*float64(time.Hour), float64(2*control.MostFor)))
		text = rest
	}
	if !hasDays || rest != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return errSpan
		}
		total += d
	}
	if total < time.Second || total > control.MostFor {
		return fmt.Errorf("%w, from 1s to 100 years", errSpan)
	}
	*s = span(total.Round(time.Second))
	return nil
}

func (s *span) String() string {
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

func (*span) Type() string { return "time" }

// filled has something in each column of a table.
func filled(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
