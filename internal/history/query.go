package history

import (
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// A Query asks for a piece of the history. Zero fields mean: the last day, until now, in
// the shortest steps of which an answer has few enough.
type Query struct {
	From, To time.Time
	Step     time.Duration // whole minutes
}

const (
	// Minutes is how many minutes are kept: a week.
	Minutes = 7 * 24 * 60

	// MostSteps is how many steps an answer has at most: all minutes.
	MostSteps = Minutes

	// fewSteps is how many steps an answer has at most if nobody says how long they are.
	fewSteps = 300
)

// ParseQuery reads a query as it stands in a URL: from and to as RFC 3339, as seconds since
// 1970, or as how long ago (-24h); step as a duration.
func ParseQuery(values url.Values, now time.Time) (q Query, err error) {
	for name, all := range values {
		switch name {
		case "from", "to", "step":
		default:
			return q, fmt.Errorf("there is no parameter %.40q: from, to, step", name)
		}
		if len(all) > 1 {
			return q, fmt.Errorf("%s: once is enough", name)
		}
	}
	if q.From, err = parseTime("from", values.Get("from"), now); err != nil {
		return q, err
	}
	if q.To, err = parseTime("to", values.Get("to"), now); err != nil {
		return q, err
	}
	if text := values.Get("step"); text != "" {
		if q.Step, err = time.ParseDuration(text); err != nil {
			return q, fmt.Errorf("step: %.40q is no duration such as 5m", text)
		}
		if q.Step <= 0 {
			return q, fmt.Errorf("step: %.40q is not more than nothing: say 1m or longer", text)
		}
	}
	return q, nil
}

func parseTime(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && (text[0] == '-' || ago == 0) {
		return now.Add(ago), nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 && seconds < 1<<33 {
		return time.Unix(seconds, 0), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 1970 || at.Year() > 2200 {
		return at, fmt.Errorf("%s: %.40q is no time: say 2027-01-02T03:04:05Z, seconds since 1970, or how long ago, as -24h", name, text)
	}
	return at, nil
}

// complete fills in what a query leaves open, and checks it. Steps begin at multiples of
// their length since 1970, so that a page that asks again gets the same steps.
func (q Query) complete(now time.Time) (Query, error) {
	if q.To.IsZero() {
		q.To = now
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-24 * time.Hour)
	}
	if first := now.Add(-Minutes * time.Minute); q.From.Before(first) {
		q.From = first
	}
	if q.To.After(now) {
		q.To = now
	}
	if !q.From.Before(q.To) {
		return q, fmt.Errorf("from %s is not before to %s, within the last week", q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339))
	}
	if q.Step == 0 {
		q.Step = goodStep(q.To.Sub(q.From))
	}
	if q.Step < time.Minute || q.Step > 24*time.Hour || q.Step%time.Minute != 0 {
		return q, fmt.Errorf("step: %s is not whole minutes, up to 24h", q.Step)
	}
	q.From, q.To = floor(q.From, q.Step), floor(q.To.Add(q.Step-1), q.Step)
	return q, nil
}

// floor returns the last multiple of step since 1970 that is not after t.
func floor(t time.Time, step time.Duration) time.Time {
	since := t.UnixNano()
	return time.Unix(0, since-since%int64(step)).UTC()
}

// goodStep is one that people would choose.
func goodStep(length time.Duration) time.Duration {
	for _, minutes := range []time.Duration{1, 2, 5, 10, 15, 30} {
		if length <= minutes*time.Minute*fewSteps {
			return minutes * time.Minute
		}
	}
	return time.Hour
}
