package paths

import "time"

// rounds are when candidates are pinged, since the search has begun.
var rounds = [...]time.Duration{0, 400 * time.Millisecond, 1200 * time.Millisecond}

const (
	firstRest = 5 * time.Second
	longRest  = 5 * time.Minute
)

// A search is three rounds of pings, and the rest until the next one.
type search struct {
	began time.Duration
	round int           // the next one; len(rounds): it is over
	again time.Duration // when to begin the next by itself
	rest  time.Duration

	answers bool // a call of the peer has begun it
}

func newSearch() search { return search{round: len(rounds), rest: firstRest} }

func (s *search) isOn() bool { return s.round < len(rounds) }

func (s *search) isFirst() bool { return s.round == 0 }

// begin begins one, and reports false if one is on.
func (s *search) begin(now time.Duration, answers bool) bool {
	if s.isOn() {
		return false
	}
	s.began, s.round, s.answers = now, 0, answers
	if now >= s.again {
		s.again = now + s.rest
		s.rest = min(2*s.rest, longRest)
	}
	return true
}

// news is a reason to search soon, as if it were for the first time.
func (s *search) news(now time.Duration) { s.again, s.rest = now, firstRest }

// stop ends it: there is a path, or nobody needs one.
func (s *search) stop() { s.round = len(rounds) }

// due is when the next round is.
func (s *search) due() time.Duration {
	if !s.isOn() {
		return Never
	}
	return s.began + rounds[s.round]
}

func (s *search) isDue(now time.Duration) bool { return now >= s.due() }

func (s *search) step() { s.round++ }
