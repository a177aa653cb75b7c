package derpmap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/tailscale/hujson"
	"go.yaml.in/yaml/v3"
)

// What the readers that Lint speaks for read a map into: YAML takes the names in
// lower case, JSON in any case.
type (
	readerMap struct {
		HomeParams         *struct{ RegionScore map[int]float64 }
		Regions            map[int]*readerRegion
		OmitDefaultRegions bool
	}
	readerRegion struct {
		RegionID               int
		RegionCode, RegionName string
		Latitude, Longitude    float64
		Avoid, NoMeasureNoHome bool
		Nodes                  []*readerNode
	}
	readerNode struct {
		Name                           string
		RegionID                       int
		HostName, CertName, IPv4, IPv6 string
		STUNPort                       int
		STUNOnly                       bool
		DERPPort                       int
		InsecureForTests               bool
		STUNTestIP                     string
		CanPort80                      bool
	}
)

// asReader reads a text as the reader of its form does.
func asReader(source []byte, form Form) (m readerMap, err error) {
	source = bytes.TrimPrefix(source, []byte("\ufeff"))
	if form == YAML {
		return m, yaml.Unmarshal(source, &m)
	}
	if form == HuJSON {
		policy := struct{ DERPMap json.RawMessage }{}
		if source, err = hujson.Standardize(append(bytes.Clone(source), '\n')); err != nil {
			return m, err
		}
		if json.Unmarshal(source, &policy); policy.DERPMap != nil {
			source = policy.DERPMap
		}
	}
	return m, json.Unmarshal(source, &m)
}

// asLoaded is what Load has read, in the reader's types.
func asLoaded(m *Map) (r readerMap) {
	text, err := json.Marshal(m)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		panic(err)
	}
	return r
}

// sameAsReader says how a reader reads a text otherwise than Load although Lint has
// no error.
func sameAsReader(source []byte, form Form) string {
	if len(Errors(Lint(source, LintConfig{Form: form, Public: true, Local: true}))) > 0 {
		return ""
	}
	m, err := Load(source, form)
	if err != nil {
		return fmt.Sprintf("lint has no error, but %v", err)
	}
	read, err := asReader(source, form)
	if err != nil {
		return fmt.Sprintf("lint has no error, but its reader says %v", err)
	}
	if want := asLoaded(m); !reflect.DeepEqual(normal(read), normal(want)) {
		return fmt.Sprintf("the reader has %s, we %s", shown(read), shown(want))
	}
	return ""
}

// normal has no difference between an empty list and none.
func normal(m readerMap) readerMap {
	for _, r := range m.Regions {
		if r != nil && len(r.Nodes) == 0 {
			r.Nodes = nil
		}
	}
	if m.HomeParams != nil && len(m.HomeParams.RegionScore) == 0 {
		m.HomeParams.RegionScore = nil
	}
	return m
}

func shown(m readerMap) string {
	text, _ := json.Marshal(m)
	return string(text)
}

// encodings are texts that we take and that the readers do not, which is a warning.
func encoded(source []byte, form Form) bool {
	for _, f := range Lint(source, LintConfig{Form: form}) {
		if f.Code == "encoding" {
			return true
		}
	}
	return false
}

func TestLintSpeaksForTheReader(t *testing.T) {
	for _, pattern := range []string{"testdata/kinds/*/*", "testdata/good/*", "testdata/bad/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			form := formOfName(name)
			if form == "" {
				continue
			}
			source := readFile(t, name)
			if encoded(source, form) {
				continue
			}
			if wrong := sameAsReader(source, form); wrong != "" {
				t.Errorf("%s: %s", name, wrong)
			}
		}
	}
}

func FuzzLintSpeaksForTheReader(f *testing.F) {
	for _, pattern := range []string{"testdata/kinds/*/*", "testdata/good/*", "testdata/bad/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			if formOfName(name) != "" {
				f.Add(readFile(f, name), string(formOfName(name)))
			}
		}
	}
	f.Fuzz(func(t *testing.T, source []byte, form string) {
		if len(source) > 1<<13 || form != string(JSON) && form != string(HuJSON) && form != string(YAML) || encoded(source, Form(form)) {
			return
		}
		if wrong := sameAsReader(source, Form(form)); wrong != "" {
			t.Errorf("%s: %s", form, wrong)
		}
	})
}
