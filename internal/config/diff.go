package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// restart are the settings that make another relay of it: its sockets and its key.
// A running relay takes all others over as they are.
var restart = []string{
	"dev", "listen", "listen-mode", "listen-group", "http", "stun", "derp", "poller", "state-dir", "relay-key", "admin", "metrics", "pprof", "admin-socket", "admin-https",
}

// A Change is a setting that is not what it was. The values are as a person would
// write them, without what is secret, and long lists without their middle.
type Change struct {
	Setting string `json:"setting"`
	Old     string `json:"old"`
	New     string `json:"new"`
}

// A Report is what other settings mean to a running relay.
type Report struct {
	Changed []Change `json:"changed"` // it takes them over as they are
	Restart []Change `json:"restart"` // they need another process
}

// Diff tells what changes from one configuration to another. Both are complete.
func Diff(from, to Config) (r Report) {
	before, after := values(from), values(to)
	for i, v := range before {
		if same(v.value, after[i].value) {
			continue
		}
		change := Change{v.setting, written(v.setting, from), written(v.setting, to)}
		if slices.Contains(restart, v.setting) {
			r.Restart = append(r.Restart, change)
		} else {
			r.Changed = append(r.Changed, change)
		}
	}
	return r
}

// mostWritten is how many values of a list are written out.
const mostWritten = 5

// written is the value of a setting in one line.
func written(path string, c Config) string {
	s, _ := Lookup(path)
	shown := s.Shown(c)
	if !s.Kind.Many() {
		return shown
	}
	all := strings.Split(shown, ",")
	if left := len(all) - mostWritten; left > 0 {
		all = slices.Concat(all[:mostWritten-1], []string{fmt.Sprintf("... %d more ...", left)}, all[len(all)-1:])
	}
	return strings.Join(all, ",")
}

// Live is the configuration with those settings that need another process as they are
// in running.
func (c Config) Live(running Config) Config {
	keep := values(running)
	for i, v := range fields(nil, "", reflect.ValueOf(&c).Elem()) {
		if slices.Contains(restart, v.setting) {
			v.value.Set(keep[i].value)
		}
	}
	return c
}

// Names are the settings that the changes are about.
func Names(changes []Change) (settings []string) {
	for _, c := range changes {
		settings = append(settings, c.Setting)
	}
	return settings
}

// Settings returns the paths of all settings, in the order of the fields.
func Settings() []string {
	all := values(Config{})
	paths := make([]string, len(all))
	for i, v := range all {
		paths[i] = v.setting
	}
	return paths
}

type value struct {
	setting string
	value   reflect.Value
}

func values(c Config) []value { return fields(nil, "", reflect.ValueOf(c)) }

func fields(all []value, prefix string, v reflect.Value) []value {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if field := v.Field(i); field.Kind() == reflect.Struct {
			all = fields(all, prefix+name+".", field)
		} else {
			all = append(all, value{prefix + name, field})
		}
	}
	return all
}

// same takes an empty list for one that is not there.
func same(a, b reflect.Value) bool {
	if k := a.Kind(); (k == reflect.Slice || k == reflect.Map) && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}
