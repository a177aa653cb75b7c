// Package numberstest looks whether a table has all numbers of a state, each once.
package numberstest

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/numbers"
)

// EachOnce fails for every number and truth beneath a state that, set alone, does not
// show in exactly one metric. Full makes a state without a nil part; leave has the paths
// that are no metrics, and why. A struct of ranges counts as one number.
func EachOnce[S any](t *testing.T, table []numbers.Metric[S], full func() *S, leave map[string]string) {
	base := Shown(table, full())
	paths := pathsOf(reflect.ValueOf(full()).Elem(), "", leave)
	if len(paths) == 0 {
		t.Fatal("the state has no numbers")
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			s := full()
			set(reflect.ValueOf(s).Elem(), strings.Split(path, "."))
			var by []string
			for name, value := range Shown(table, s) {
				if value != base[name] {
					by = append(by, name)
				}
			}
			if len(by) != 1 {
				t.Errorf("%s shows in %q, want one metric: add a row to the table, or say in the test why not", path, by)
			}
		})
	}
}

// Shown are all values, by metric and label.
func Shown[S any](table []numbers.Metric[S], s *S) map[string]float64 {
	all := map[string]float64{}
	for _, m := range table {
		m.Values(s, func(label string, value float64) {
			if value != 0 {
				all[m.Name+" "+label] = value
			}
		})
	}
	return all
}

// isRanges tells a histogram by its fields.
func isRanges(t reflect.Type) bool {
	_, bounds := t.FieldByName("Bounds")
	_, counts := t.FieldByName("Counts")
	return bounds && counts
}

// pathsOf are those of all numbers and truths beneath a value. Those of maps end in "*".
func pathsOf(v reflect.Value, path string, leave map[string]string) (all []string) {
	if _, left := leave[path]; left {
		return nil
	}
	switch t := v.Type(); t.Kind() {
	case reflect.Pointer:
		return pathsOf(reflect.Zero(t.Elem()), path, leave)
	case reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return pathsOf(v.Elem(), path, leave)
	case reflect.Slice:
		return pathsOf(reflect.Zero(t.Elem()), path, leave)
	case reflect.Map:
		return pathsOf(reflect.Zero(t.Elem()), path+".*", leave)
	case reflect.Struct:
		switch {
		case isRanges(t):
			return []string{path}
		case t.PkgPath() == "time", strings.HasSuffix(t.PkgPath(), "/certs"), strings.HasSuffix(t.PkgPath(), "/config"): // moments and texts
			return nil
		}
		for i := range t.NumField() {
			f, next := t.Field(i), path
			if !f.Anonymous { // else as it is written
				next = strings.TrimPrefix(path+"."+f.Name, ".")
			}
			all = append(all, pathsOf(v.Field(i), next, leave)...)
		}
		return all
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
		return []string{path}
	case reflect.String:
		return nil
	}
	panic("a kind of field that this test does not know: " + path + " " + v.Type().String())
}

func set(v reflect.Value, path []string) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.Map:
		element := reflect.New(v.Type().Elem()).Elem()
		set(element, path[1:])
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("reason").Convert(v.Type().Key()), element)
	case v.Kind() == reflect.Struct && isRanges(v.Type()):
		v.FieldByName("Bounds").Set(reflect.ValueOf([]float64{1}))
		v.FieldByName("Counts").Set(reflect.ValueOf([]uint64{0, 7}))
	case len(path) > 0:
		set(v.FieldByName(path[0]), path[1:])
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(7)
	case v.CanUint():
		v.SetUint(7)
	default:
		v.SetFloat(7)
	}
}

// Moved returns the metrics whose values have never been other than at the start, of
// which begin has them; those that had none then count as 0.
func Moved[S any](table []numbers.Metric[S], begin *S, later ...*S) (still []string) {
	base, has := Shown(table, begin), map[string]bool{}
	for _, s := range later {
		for name, value := range Shown(table, s) {
			if value != base[name] {
				has[strings.Fields(name)[0]] = true
			}
		}
		for name := range base {
			if _, now := Shown(table, s)[name]; !now {
				has[strings.Fields(name)[0]] = true
			}
		}
	}
	all := map[string]bool{}
	for _, m := range table {
		if !has[m.Name] {
			all[m.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// TestsAreThere fails for a number that is said to be moved by a test which there is not,
// in any room below a directory.
func TestsAreThere(t *testing.T, below string, by map[string]string) {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(below, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range by {
		if !strings.Contains(all.String(), "func "+test+"(") {
			t.Errorf("%s: there is no test %s", name, test)
		}
	}
}

// NoLabelTells fails for a label that has an address, a key, or a name that others chose:
// in tests all of these begin with "evil".
func NoLabelTells[S any](t *testing.T, table []numbers.Metric[S], s *S) {
	t.Helper()
	for _, m := range table {
		m.Values(s, func(label string, _ float64) {
			if strings.Contains(label, "evil") || strings.Contains(label, "nodekey") || strings.Contains(label, "127.0.0.1") {
				t.Errorf("%s has the label %q", m.Name, label)
			}
		})
	}
}
