package relaypage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/page"
	"github.com/detour-relay/detour/internal/quota"
)

// How bad something is, which is also its class of the look.
const (
	good = "good"
	odd  = "odd" // the relay works, but somebody should know
	bad  = "bad" // peers notice
)

// A problem is something that is not as it should be, and what to do about it.
type problem struct {
	Class, What, Why, Do string
}

// A verdict is the state of a relay in a word.
type verdict struct {
	Class, Word string
	Problems    []problem
}

// judge says how the relay is. Explain is why it wants no peers.
func judge(s admin.Status, l lately, explain string, now time.Time) verdict {
	var all []problem
	for _, look := range []func(admin.Status, time.Time) []problem{
		func(s admin.Status, _ time.Time) []problem { return ofHealth(s, explain) },
		ofCertificate, ofQuota, ofAccess, ofSiblings, ofProcess,
		func(admin.Status, time.Time) []problem { return ofDrops(l) },
	} {
		all = append(all, look(s, now)...)
	}
	slices.SortStableFunc(all, func(a, b problem) int { return cmp.Compare(a.Class, b.Class) }) // bad before odd
	v := verdict{Class: good, Word: "All is well", Problems: all}
	if len(all) == 0 {
		return v
	}
	v.Class = all[0].Class
	worst := 0
	for _, p := range all {
		if p.Class == v.Class {
			worst++
		}
	}
	switch {
	case s.Draining:
		v.Word = "Draining: peers are sent elsewhere"
	case v.Class == bad && !s.Health.Healthy:
		v.Word = "The relay wants no peers"
	case v.Class == bad && worst == 1:
		v.Word = "One thing is wrong"
	case v.Class == bad:
		v.Word = fmt.Sprintf("%d things are wrong", worst)
	case worst == 1:
		v.Word = "It works, and one thing wants a look"
	default:
		v.Word = fmt.Sprintf("It works, and %d things want a look", worst)
	}
	return v
}

func ofHealth(s admin.Status, explain string) (all []problem) {
	_, why, _ := strings.Cut(explain, ": ")
	switch s.Health.Reason {
	case health.None:
	case health.Draining:
		all = append(all, problem{odd, "The relay drains", "It takes no new peers, and those it has are told to go elsewhere.", "Nothing: it ends when they have left."})
	case health.QuotaUsedUp:
		all = append(all, problem{bad, "The month's quota is used up", why, "Raise quota.hard and reload, or wait."})
	case health.NoCertificate:
		all = append(all, problem{bad, "There is no certificate", why, "Until there is one, no peer comes in: see what the authority or the file lacks."})
	default:
		all = append(all, problem{bad, "The self-check fails", why, "Run “detour check” against the relay's name from here and from elsewhere."})
	}
	if s.Health.Full {
		all = append(all, problem{bad, "The relay is full", "It has as many connections as it may, and turns others away.", "Raise max-conns, or the limit of descriptors (LimitNOFILE), or add a relay to the region."})
	}
	if c := s.Health.SelfCheck; c != nil && c.Failures > 0 && s.Health.Reason != health.SelfCheckFailed {
		all = append(all, problem{odd, "The last self-check failed", c.Error, "If it fails again the relay wants no peers: look at the way to " + c.Target + "."})
	}
	return all
}

// soon is how long before its end a certificate should have been renewed.
const soon = 10 * 24 * time.Hour

func ofCertificate(s admin.Status, now time.Time) (all []problem) {
	c := s.Certificate
	if c == nil {
		return nil
	}
	if c.Failed != "" {
		all = append(all, problem{odd, "The certificate could not be renewed", c.Failed, "The one in use stays until " + page.At(c.Until) + "."})
	}
	if c.Missing != "" && s.Health.Reason != health.NoCertificate {
		all = append(all, problem{odd, "A certificate is missing", c.Missing, "Peers that ask for that name are not served."})
	}
	switch left := c.Until.Sub(now); {
	case c.Until.IsZero():
	case left <= 0:
		all = append(all, problem{bad, "The certificate has expired", "It ended " + page.Ago(c.Until) + ".", "Put a new one in its place, and reload."})
	case left < min(soon, c.Until.Sub(c.From)/6):
		all = append(all, problem{odd, "The certificate ends soon", "It ends in " + page.Span(left) + ".", renewal(c)})
	}
	return all
}

func renewal(c *certs.Description) string {
	if c.Issuance != nil {
		return "The relay renews it by itself: if it has not by now, see why in its log."
	}
	return "Have it renewed by whoever made it."
}

func ofQuota(s admin.Status, _ time.Time) (all []problem) {
	q := s.Quota
	if q == nil {
		return nil
	}
	switch {
	case q.State == quota.PastHard && s.Health.Reason != health.QuotaUsedUp:
		all = append(all, problem{bad, "The month's quota is used up", "The relay is slowed down until " + page.At(q.ResetsAt) + ".", "Raise quota.hard and reload, or wait."})
	case q.State == quota.PastSoft:
		all = append(all, problem{odd, "The month's soft mark is passed", page.Bytes(float64(q.Used)) + " of " + page.Bytes(float64(q.Soft)) + " are used.", "Nothing happens before the hard mark."})
	}
	if q.Error != "" {
		all = append(all, problem{odd, "The quota's count is not kept", q.Error, "After a restart it would begin with an older one."})
	}
	return all
}

func ofAccess(s admin.Status, _ time.Time) (all []problem) {
	if s.Access == nil {
		return nil
	}
	for _, line := range s.Access.Away() {
		all = append(all, problem{odd, "Who decides about admission is out of reach", line, "Who is known comes in; strangers may not."})
	}
	return all
}

func ofSiblings(s admin.Status, now time.Time) (all []problem) {
	for _, sibling := range siblingsOf(s) {
		if sibling.Status == mesh.Waiting || sibling.Status == mesh.Dialling && sibling.LastError != "" {
			all = append(all, problem{odd, "No link to " + page.Text(sibling.Name, 80), sibling.LastError, "Peers here do not reach peers there. It is tried again by itself."})
		}
	}
	return all
}

func siblingsOf(s admin.Status) []mesh.State {
	all, _ := s.Mesh.([]mesh.State)
	return all
}

func ofProcess(s admin.Status, _ time.Time) (all []problem) {
	if r := s.Reload; r != nil && r.Error != "" {
		all = append(all, problem{odd, "The last reload was not taken over", r.Error, "Correct the settings and reload."})
	} else if r != nil && len(r.Restart) > 0 {
		all = append(all, problem{odd, "Settings wait for a restart", strings.Join(r.Restart, ", "), "Restart the relay when it suits."})
	}
	if s.Descriptors.Few {
		all = append(all, problem{odd, "Few descriptors", fmt.Sprintf("The system lets the process have %d files and sockets.", s.Descriptors.Limit), "Raise LimitNOFILE."})
	}
	return all
}

// Drops are worth a look above one in so many packets, if there are some.
const (
	oneIn     = 100
	fewDrops  = 100
	threshold = 10 * time.Second // less is known by too few beats
)

// ofDrops tells of packets that did not arrive although their receiver was there.
func ofDrops(l lately) []problem {
	lost, worst := uint64(0), ""
	for _, reason := range []string{"queue_head", "queue_tail", "queue_age", "queue_memory", "write_error"} {
		if lost += l.lost[reason]; l.lost[reason] > l.lost[worst] {
			worst = reason
		}
	}
	if l.minute < threshold || lost < fewDrops || lost*oneIn < l.of.Packets {
		return nil
	}
	return []problem{{odd, page.Percent(float64(lost), float64(l.of.Packets)) + " of the packets are dropped", "In the last minute, mostly because " + dropWords[worst] + ".",
		"See in the clients whose queue is full: it takes less than others send to it."}}
}

// dropWords say why packets are dropped.
var dropWords = map[string]string{
	"unknown_dest":        "nobody has the key that they were for",
	"unknown_dest_on_fwd": "the key for which a sibling passed them on had left",
	"gone_disconnected":   "the receiver left while they waited",
	"queue_head":          "the receiver was too slow, and older ones gave way to newer ones",
	"queue_tail":          "they are larger than a whole queue",
	"queue_age":           "they waited too long for a slow receiver",
	"queue_memory":        "slow receivers together had as much waiting as outbox-memory allows",
	"write_error":         "the connection broke while they were written",
	"dup_client":          "the key is connected more than once, and no connection is active",
}
