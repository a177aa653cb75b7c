package coord

import "github.com/detour-relay/detour/internal/coordapi"

// Tailnets are all, by name, as operators are shown them.
func (s *Service) Tailnets() (all []coordapi.Tailnet) {
	for _, t := range s.state.Tailnets() {
		all = append(all, shown(t))
	}
	return all
}

// Tailnet is one, by its ID.
func (s *Service) Tailnet(id string) (coordapi.Tailnet, bool) {
	t, ok := s.state.Tailnet(id)
	return shown(t), ok
}

// Members are those of a tailnet, by name: the part of them that a function picks, without
// the first ones, and so many at most. Found is how many it picks in all.
func (s *Service) Members(id string, picks func(coordapi.Member) bool, skip, most int) (some []coordapi.Member, found int) {
	for _, m := range s.state.Members(id) {
		one := shownMember(m)
		if !picks(one) {
			continue
		}
		if found++; found > skip && len(some) < most {
			some = append(some, one)
		}
	}
	return some, found
}

// Relays are those that may ask who is a member.
func (s *Service) Relays() (all []coordapi.Relay) {
	for _, r := range s.state.Relays() {
		all = append(all, s.shownRelay(r.Name, r.Record))
	}
	return all
}
