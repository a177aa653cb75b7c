package relaypage

import (
	"net/url"
	"slices"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/hitters"
)

// mostHitters are shown of each list.
const mostHitters = 8

// The lists of a window, as they are called in the page's address.
var kinds = []struct{ name, words, filter, none string }{
	{"keys", "key", "key", ""},
	{"networks", "network", "network", "unknown address"},
	{"apps", "app", "app", "says nothing"},
	{"labels", "label", "label", "no label"},
}

var spans = []string{"minute", "hour", "day"}

// A usage is who uses most, by one kind, in one window.
type usage struct {
	Kinds, Spans []choice
	What         string // the kind in a word
	Rows         []hitter
	Known        bool // somebody counts
	Unlisted     uint64
}

// A choice leads to the same page with another list.
type choice struct {
	Text, To string
	Here     bool
}

// A hitter is a row of the list. Part is how much of all it is, 100 wide.
type hitter struct {
	hitters.Hitter
	To    string // to its clients; empty: they cannot be picked
	Name  string
	None  bool // Name says that there is none
	Part  int
	Total uint64
}

// usageOf picks a list. What is asked for that there is not, is the first one.
func usageOf(s admin.Status, query url.Values) usage {
	kind, span := kinds[0], spans[0]
	for _, k := range kinds {
		if k.name == query.Get("by") {
			kind = k
		}
	}
	if slices.Contains(spans, query.Get("over")) {
		span = query.Get("over")
	}
	u := usage{What: kind.words, Known: s.Hitters != nil}
	at := func(by, over string) string {
		return "./?" + url.Values{"by": {by}, "over": {over}}.Encode() + "#usage"
	}
	for _, k := range kinds {
		u.Kinds = append(u.Kinds, choice{k.words, at(k.name, span), k.name == kind.name})
	}
	for _, name := range spans {
		u.Spans = append(u.Spans, choice{name, at(kind.name, name), name == span})
	}
	if !u.Known {
		return u
	}
	for _, w := range s.Hitters.Windows {
		if w.Name == span {
			u.fill(w, kind.name, kind.filter, kind.none)
		}
	}
	return u
}

func (u *usage) fill(w hitters.Window, kind, filter, none string) {
	list := map[string]hitters.List{"keys": w.Keys, "networks": w.Networks, "apps": w.Apps, "labels": w.Labels}[kind]
	u.Unlisted = list.Unlisted
	for _, h := range list.Top {
		if len(u.Rows) == mostHitters {
			break
		}
		row := hitter{Hitter: h, Name: h.Name, Total: h.Bytes(), To: "clients?" + url.Values{filter: {h.Name}}.Encode()}
		if h.Name == "" {
			row.Name, row.None = none, true
			if filter == "network" {
				row.To = ""
			}
		}
		if all := w.Total.Bytes(); all > 0 {
			row.Part = int(min(100, 100*row.Total/all))
		}
		u.Rows = append(u.Rows, row)
	}
}
