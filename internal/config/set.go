package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Set changes one setting to what a text says, as flags and variables have it: lists
// with commas between, maps as lists of name=value. What it had before is gone. Its
// error is an [*Error].
func Set(c *Config, path, text string) error {
	s, ok := Lookup(path)
	if !ok {
		return &Error{Setting: path, What: "is no setting"}
	}
	if err := s.set(c, text); err != nil {
		return err
	}
	return nil
}

func (s Setting) set(c *Config, text string) *Error {
	field := s.value(c)
	switch s.Kind {
	case KindString:
		field.SetString(text)
	case KindList:
		field.Set(reflect.ValueOf(splitList(text)))
	case KindMap, KindLimits:
		return s.setMap(field, text)
	default:
		return s.setScalar(field, strings.TrimSpace(text))
	}
	return nil
}

func (s Setting) setScalar(field reflect.Value, text string) *Error {
	switch s.Kind {
	case KindBool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return s.wrong(text, "choose true or false")
		}
		field.SetBool(b)
	case KindInt:
		n, err := strconv.Atoi(text)
		if err != nil || looksOctal(text) {
			return s.wrong(text, "want a whole number, in plain digits")
		}
		field.SetInt(int64(n))
	case KindFloat:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || looksOctal(text) {
			return s.wrong(text, "want a number")
		}
		field.SetFloat(f)
	case KindDuration:
		return s.setDuration(field, text)
	default:
		if looksOctal(text) {
			return s.wrong(text, "write it without the 0 in front")
		}
		if err := field.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			return &Error{Setting: s.Path, Err: err}
		}
	}
	return nil
}

func (s Setting) setDuration(field reflect.Value, text string) *Error {
	var d Duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		if _, isNumber := strconv.ParseFloat(text, 64); isNumber == nil {
			return s.wrong(text, fmt.Sprintf("has no unit: write %ss, %[1]sm or %[1]sh", text))
		}
		return s.wrong(text, "want a time with its unit, such as 500ms, 15s, 2m or 1h30m")
	}
	field.Set(reflect.ValueOf(d))
	return nil
}

// looksOctal tells numbers that some read to the base of eight.
func looksOctal(text string) bool {
	digits := strings.TrimLeft(text, "+-")
	return len(digits) > 1 && digits[0] == '0' && '0' <= digits[1] && digits[1] <= '9'
}

func (s Setting) wrong(text, remedy string) *Error {
	return &Error{Setting: s.Path, What: strconv.Quote(s.mask(text)), Remedy: remedy}
}

func splitList(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// setMap reads pairs.
func (s Setting) setMap(field reflect.Value, text string) *Error {
	field.Set(reflect.MakeMap(field.Type()))
	for _, pair := range s.pairs(text) {
		if err := s.addPair(field, pair); err != nil {
			return err
		}
	}
	return nil
}

// pairs are those of a map. Limits have commas within themselves, too: what is one of
// their words belongs to the label before it.
func (s Setting) pairs(text string) (pairs []string) {
	for _, part := range splitList(text) {
		if name, _, _ := strings.Cut(part, "="); s.Kind == KindLimits && len(pairs) > 0 && strings.Count(part, "=") == 1 && slices.Contains(limitWords, name) {
			pairs[len(pairs)-1] += " " + part
			continue
		}
		pairs = append(pairs, part)
	}
	return pairs
}

func (s Setting) addPair(field reflect.Value, pair string) *Error {
	name, text, ok := strings.Cut(pair, "=")
	name, text = strings.TrimSpace(name), strings.TrimSpace(text)
	if !ok || name == "" || text == "" {
		return s.wrong(pair, s.wantPair())
	}
	return s.add(field, name, text)
}

// add puts one pair into a map.
func (s Setting) add(field reflect.Value, name, text string) *Error {
	if before := field.MapIndex(reflect.ValueOf(name)); before.IsValid() {
		return &Error{Setting: s.Path, What: fmt.Sprintf(", %s is both %q and %q", name, fmt.Sprint(before), text), Remedy: "remove one of them"}
	}
	value := reflect.New(field.Type().Elem()).Elem()
	if s.Kind == KindMap {
		value.SetString(text)
	} else if err := value.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		return &Error{Setting: s.Path, What: fmt.Sprintf(", %s", name), Err: err}
	}
	field.SetMapIndex(reflect.ValueOf(name), value)
	return nil
}

func (s Setting) wantPair() string {
	if s.Kind == KindLimits {
		return "want label=limits, such as " + s.Example
	}
	if s.Path == "sni" {
		return "want NAME=host:port, such as " + s.Example
	}
	return "want node=entry: the name of a node in the DERP map, and its entry as in {mesh.with}"
}

// limitWords are what stands before the = in a Limit.
var limitWords = []string{"in", "out", "burst"}

// textOf writes a value as set reads it.
func textOf(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case []string:
		return strings.Join(value, ",")
	case map[string]string:
		return joinPairs(value)
	case map[string]Limit:
		return joinPairs(value)
	}
	return fmt.Sprint(v.Interface())
}

func joinPairs[V any](m map[string]V) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, fmt.Sprintf("%s=%v", name, m[name]))
	}
	return strings.Join(pairs, ",")
}
