package config

import (
	"reflect"
	"slices"
	"strings"
)

// live are the settings that a running relay takes over as they are.
var live = []string{"log.level", "mesh.key-file", "tls.cert", "tls.key"}

// Changes are the settings in which two configurations differ.
type Changes struct {
	Live    []string // a running relay can take them over
	Restart []string // they need a new process
}

// Diff tells what changes from one configuration to another. Both are complete.
func Diff(from, to Config) (c Changes) {
	before, after := values(from), values(to)
	for i, v := range before {
		switch {
		case same(v.value, after[i].value):
		case slices.Contains(live, v.setting):
			c.Live = append(c.Live, v.setting)
		default:
			c.Restart = append(c.Restart, v.setting)
		}
	}
	return c
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
