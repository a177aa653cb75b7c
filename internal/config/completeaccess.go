package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/detour-relay/detour/internal/text"
)

const (
	// leastBurst is the largest frame with a packet: what has no room for it would never
	// let it pass.
	leastBurst = 65_573

	// leastRate is below what any peer can live with, and above what is left of a rate
	// whose unit was forgotten. With less, what is read at once would take longer to pay
	// for than peers wait.
	leastRate = 8000

	leastVerify = 10 * time.Millisecond
	mostLabel   = 64
)

// MostVerifyTimeout bounds Access.VerifyTimeout: a peer waits as long for its login.
const MostVerifyTimeout = 30 * time.Second

func (c Config) checkAccess() *Error {
	a := c.Access
	for _, asked := range a.Verify {
		if err := checkURL("access.verify", asked, "https://headscale.example/verify"); err != nil {
			return err
		}
	}
	for _, asked := range a.Coordinator {
		base, _, _ := strings.Cut(asked, "=")
		if err := checkURL("access.coordinator", base, "https://coord.example.com"); err != nil {
			return err
		}
	}
	for _, socket := range a.Tailscaled {
		if socket != TailscaledAuto && !filepath.IsAbs(socket) {
			return &Error{Setting: "access.tailscaled", What: fmt.Sprintf("%q", socket), Remedy: "choose auto, or give the whole path of a socket, which begins with /"}
		}
	}
	for path, values := range map[string][]string{
		"access.keys": a.Keys, "access.deny-apps": a.DenyApps, "access.verify": a.Verify, "access.coordinator": a.Coordinator, "access.tailscaled": a.Tailscaled,
	} {
		if twice := firstTwice(values); twice != "" {
			return &Error{Setting: path, What: fmt.Sprintf("has %q twice", twice), Remedy: "remove one of them"}
		}
	}
	if slices.Contains(a.Keys, "") || slices.Contains(a.DenyApps, "") {
		return &Error{Setting: "access.keys", What: "and {access.deny-apps} have no empty values", Remedy: "remove the comma"}
	}
	return c.checkAccessTimes()
}

func (c Config) checkAccessTimes() *Error {
	a := c.Access
	switch timeout := time.Duration(a.VerifyTimeout); {
	case len(a.Verify) == 0 && a.VerifyCA != "":
		return useless("access.verify-ca", "URLs that say who may come in", "{access.verify}")
	case len(a.Verify) == 0 && a.FailOpen:
		return useless("access.fail-open", "URLs that say who may come in", "{access.verify}")
	case len(a.Verify) == 0 && a.VerifyHeaders != "":
		return useless("access.verify-headers", "URLs that say who may come in", "{access.verify}")
	case len(a.Coordinator) == 0 && a.CoordinatorToken != "":
		return useless("access.coordinator-token", "a coordination server", "{access.coordinator}")
	case timeout != 0 && timeout < leastVerify, timeout > MostVerifyTimeout:
		return &Error{Setting: "access.verify-timeout", What: a.VerifyTimeout.String(), Remedy: "want 10ms to 30s, such as 5s"}
	case a.Grace < 0:
		return &Error{Setting: "access.grace", What: a.Grace.String(), Remedy: "want a time, such as 24h, or 0 for none"}
	}
	return nil
}

// useless is about a setting that means nothing without another one.
func useless(path, what, other string) *Error {
	return &Error{Setting: path, What: "is for " + what + ", and there are none", Remedy: "add " + other + ", or leave it out"}
}

func firstTwice(values []string) string {
	seen := make(map[string]bool)
	for _, v := range values {
		if seen[v] {
			return text.RedactURL(v)
		}
		seen[v] = true
	}
	return ""
}

func checkURL(path, given, example string) *Error {
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		s, _ := Lookup(path)
		return s.wrong(given, "want a URL that begins with https:// or http:// and has a host, such as "+example)
	}
	return nil
}

func (c Config) checkLimits() *Error {
	l := c.Limits
	for _, r := range []struct {
		path string
		rate Rate
	}{{"limits.in", l.In}, {"limits.out", l.Out}, {"limits.total", l.Total}} {
		if err := checkRate(r.path, "", r.rate); err != nil {
			return err
		}
	}
	if l.Burst != 0 && l.In == 0 && l.Out == 0 {
		return useless("limits.burst", "limits of keys", "{limits.in} or {limits.out}")
	}
	if err := checkBurst("limits.burst", "", l.Burst); err != nil {
		return err
	}
	for label, limit := range l.Labels {
		if err := checkLabel(label, limit); err != nil {
			return err
		}
	}
	return nil
}

func checkRate(path, within string, r Rate) *Error {
	if r == 0 || r >= leastRate {
		return nil
	}
	return &Error{Setting: path, What: within + r.String(), Remedy: "want 64kbit/s or more, with its unit, such as 10Mbit/s, or 0 for no limit"}
}

func checkBurst(path, within string, b Size) *Error {
	if b == 0 || b >= leastBurst {
		return nil
	}
	return &Error{Setting: path, What: within + b.String(), Remedy: fmt.Sprintf("want %dB or more, which is the largest frame, or 0 for one second's worth", leastBurst)}
}

func checkLabel(label string, l Limit) *Error {
	const path = "limits.labels"
	if bad := func(r rune) bool {
		return !unicode.IsPrint(r) || r == utf8.RuneError || strings.ContainsRune(` #",=`, r)
	}; label == "" || len(label) > mostLabel || strings.ContainsFunc(label, bad) {
		return &Error{Setting: path, What: fmt.Sprintf(", %q", label), Remedy: fmt.Sprintf("want 1 to %d letters, digits and signs such as - . _ @, without white space", mostLabel)}
	}
	within := ", " + label + ": "
	for _, err := range []*Error{checkRate(path, within+"in ", l.In), checkRate(path, within+"out ", l.Out), checkBurst(path, within+"burst ", l.Burst)} {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c Config) checkQuota() *Error {
	q := c.Quota
	used := q.Soft > 0 || q.Hard > 0
	switch {
	case q.Soft < 0 || q.Hard < 0:
		return &Error{Setting: "quota.hard", What: "and {quota.soft} are sizes", Remedy: "want 0 or more, such as 10TB"}
	case q.Hard > 0 && q.Soft > q.Hard:
		return &Error{Setting: "quota.soft", What: q.Soft.String() + " is above {quota.hard} " + q.Hard.String(), Remedy: "want less, so that there is time to act"}
	case !slices.Contains([]string{CountIn, CountOut, CountBoth}, q.Count) && (q.Count != "" || used):
		return &Error{Setting: "quota.count", What: fmt.Sprintf("%q", q.Count), Remedy: "choose in, out or both"}
	case (q.Day < 1 || q.Day > 28) && (q.Day != 0 || used):
		return &Error{Setting: "quota.day", What: fmt.Sprint(q.Day), Remedy: "want 1 to 28, which every month has"}
	case q.Webhook != "" && !used:
		return useless("quota.webhook", "the marks of a quota", "{quota.soft} or {quota.hard}")
	case strings.Contains(q.Webhook, "://"):
		if err := checkURL("quota.webhook", q.Webhook, "https://hooks.example/relay"); err != nil {
			return err
		}
	}
	return c.checkQuotaThen()
}

func (c Config) checkQuotaThen() *Error {
	q := c.Quota
	if q.Then == QuotaDrain || q.Then == "" && q.Hard == 0 {
		return nil
	}
	var r Rate
	if err := r.UnmarshalText([]byte(q.Then)); err != nil || r < leastRate || looksOctal(q.Then) {
		return &Error{Setting: "quota.then", What: fmt.Sprintf("%q", q.Then), Remedy: "choose drain, or give the rate to slow down to, 64kbit/s or more, such as 10Mbit/s"}
	}
	if q.Hard == 0 {
		return useless("quota.then", "what is beyond a mark", "{quota.hard}")
	}
	return nil
}
