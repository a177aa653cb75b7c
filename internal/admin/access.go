package admin

import "github.com/detour-relay/detour/internal/admit"

// accessMetrics are of who decides who may come in. By what decides: a ban, a list, a
// kind of source; which file or URL, the status says.
var accessMetrics = []Metric{
	ofAccess(gauge("access_everyone", "", "1 if everybody may come in", func(s *Status) float64 { return truth(s.Access.Everyone) })),
	ofAccess(decided("access_admitted", "logins that were admitted, by what admits them", func(d admit.Decisions) uint64 { return d.Admitted })),
	ofAccess(decided("access_refused", "logins that were refused, by what refuses them", func(d admit.Decisions) uint64 { return d.Refused })),
	ofAccess(decided("access_revoked", "connections of peers that were cut off, by what cuts them off", func(d admit.Decisions) uint64 { return d.Revoked })),
	ofAccess(byReason("access_refusals", "logins that were refused, by reason", func(s *Status) map[string]uint64 {
		all := make(map[string]uint64, len(s.Access.Refused))
		for reason, n := range s.Access.Refused {
			all[string(reason)] = n
		}
		return all
	})),
	ofAccess(by("source", "access_errors", "what could not be read, written or asked, by source", func(s *Status) map[string]uint64 { return s.Access.Errors })),
	ofAccess(gauge("access_sources", "", "sources that are asked about keys", func(s *Status) float64 { return float64(len(s.Access.Sources)) })),
	ofAccess(gauge("access_sources_away", "", "of these, sources that cannot answer", func(s *Status) float64 { return float64(away(s.Access)) })),
	ofAccess(gauge("access_unheard", "", "coordination servers that are not heard, so that who is removed there stays until asked about", func(s *Status) float64 { return float64(unheard(s.Access)) })),
	ofAccess(gauge("access_files_wrong", "", "lists that cannot be read, so that what they said before stays", func(s *Status) float64 { return float64(wrong(s.Access)) })),
	ofAccess(gauge("access_keys", "", "keys in the lists", func(s *Status) float64 { return float64(listed(s.Access)) })),
	ofAccess(gauge("access_bans", "", "keys that are banned", func(s *Status) float64 { return float64(s.Access.Managed.Bans) })),
	ofAccess(gauge("access_known", "", "keys that a source has confirmed, within the time of grace", func(s *Status) float64 { return float64(s.Access.Known) })),
	ofAccess(gauge("access_asking_strangers", "", "strangers that a source is asked about", func(s *Status) float64 { return float64(s.Access.AskingStrangers) })),
	ofAccess(gauge("access_asking_known", "", "known keys that a source is asked about again", func(s *Status) float64 { return float64(s.Access.AskingKnown) })),
}

func decided(name, help string, count func(admit.Decisions) uint64) Metric {
	return by("source", name, help, func(s *Status) map[string]uint64 {
		all := make(map[string]uint64, len(s.Access.Decisions))
		for source, d := range s.Access.Decisions {
			all[source] = count(d)
		}
		return all
	})
}

func away(a *admit.Snapshot) (n int) {
	for _, s := range a.Sources {
		if s.Away {
			n++
		}
	}
	return n
}

func unheard(a *admit.Snapshot) (n int) {
	for _, s := range a.Sources {
		if s.Heard != nil && !s.Heard.Now {
			n++
		}
	}
	return n
}

func wrong(a *admit.Snapshot) (n int) {
	for _, f := range a.Keys {
		if f.Error != "" {
			n++
		}
	}
	if a.Managed.Error != "" {
		n++
	}
	return n
}

func listed(a *admit.Snapshot) int {
	n := a.Managed.Keys
	for _, f := range a.Keys {
		n += f.Keys
	}
	return n
}
