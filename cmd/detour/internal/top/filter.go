package top

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/clients"
)

// A Filter is which connections are shown, as flags and the line of the screen have it.
type Filter struct{ Keys, Networks, Labels, Apps []string }

// ParseFilter reads the line: words such as app=tailscaled or label=guests, and without a
// name a network, an address or how a key begins.
func ParseFilter(line string) (f Filter, err error) {
	for _, word := range strings.Fields(line) {
		name, value, named := strings.Cut(word, "=")
		if !named {
			name, value = kindOf(word), word
		}
		switch name {
		case "key":
			f.Keys = append(f.Keys, value)
		case "network":
			f.Networks = append(f.Networks, value)
		case "label":
			f.Labels = append(f.Labels, value)
		case "app":
			f.Apps = append(f.Apps, value)
		default:
			return f, fmt.Errorf("%.20q: write key=, network=, label= or app=", name)
		}
	}
	return f, new(clients.Filter).ParseFilter(f.Keys, f.Networks, f.Labels, f.Apps)
}

// kindOf guesses what a bare word is.
func kindOf(word string) string {
	if _, err := clients.ParseNetwork(word); err == nil {
		return "network"
	}
	return "key"
}

// String is what ParseFilter reads.
func (f *Filter) String() string {
	var words []string
	for _, of := range []struct {
		name   string
		values []string
	}{{"key", f.Keys}, {"network", f.Networks}, {"label", f.Labels}, {"app", f.Apps}} {
		for _, value := range of.values {
			words = append(words, of.name+"="+value)
		}
	}
	return strings.Join(words, " ")
}

// Values is how the relay is asked for so many.
func (f *Filter) Values(sort string, limit int, every time.Duration) url.Values {
	v := url.Values{"sort": {sort}, "limit": {strconv.Itoa(limit)}, "every": {every.String()}}
	for name, values := range map[string][]string{"key": f.Keys, "network": f.Networks, "label": f.Labels, "app": f.Apps} {
		if len(values) > 0 {
			v[name] = values
		}
	}
	return v
}
