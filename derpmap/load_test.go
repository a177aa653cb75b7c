package derpmap

import (
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var forms = []Form{JSON, HuJSON, YAML}

// unknown has fields on each level that no version of this package knows.
const unknown = `{
	"Regions": {"900": {
		"RegionID": 900, "RegionCode": "<fra>", "RegionName": "Frankfurt \u00e4\ud83d\ude00\u2028",
		"Nodes": [{
			"Name": "900a", "RegionID": 900, "HostName": "a.example.com",
			"Weight": 12345678901234567890, "On": "yes", "none": null, "900": [1.50, 1E3, -0, true, {"": []}],
		}],
		"Since": "2026-01-02", "~": "0x10", "<<": {"a": "1_000", "b": ".inf"},
	}, "7": null},
	"HomeParams": {"Until": {"RegionScore": {"1": 2}}, "RegionScore": {"900": 1e-7, "-1": 1e21}},
	"Generation": 7, "# not a comment": "- not an item\n\n  text\t\r\n", "DERPMap2": {},
}`

func TestEachFormKeepsEverything(t *testing.T) {
	sources := map[string]string{"unknown fields": unknown}
	for name, source := range vectors(t) {
		sources[name] = source
	}
	for _, name := range examples(t, "good") {
		sources[name] = string(readFile(t, name))
	}
	for name, source := range sources {
		m := load(t, source)
		for _, form := range forms {
			text, err := m.Encode(form)
			if err != nil {
				t.Errorf("%s as %s: %v", name, form, err)
				continue
			}
			again, err := Load(text, form)
			if err != nil {
				t.Errorf("%s as %s: %v\n%s", name, form, err, text)
				continue
			}
			if !reflect.DeepEqual(again, m) {
				t.Errorf("%s as %s is another map:\n%s", name, form, text)
			}
			if second, err := again.Encode(form); err != nil || string(second) != string(text) {
				t.Errorf("%s as %s is written in another way the second time: %v\n%s", name, form, err, second)
			}
			if guess := FormOf(text); guess != form && !(form == JSON && guess == HuJSON) {
				t.Errorf("%s as %s looks like %s", name, form, guess)
			}
		}
	}
}

func TestForms(t *testing.T) {
	for _, form := range forms {
		text, err := load(t, unknown).Encode(form)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", "unknown."+string(form)), string(text))
	}
}

func TestExtraFieldsAreWhereTheyWere(t *testing.T) {
	m := load(t, unknown)
	node := m.Regions[900].Nodes[0]
	for got, want := range map[string]string{
		string(m.Extra["Generation"]):         "7",
		string(m.HomeParams.Extra["Until"]):   `{"RegionScore":{"1":2}}`,
		string(m.Regions[900].Extra["Since"]): `"2026-01-02"`,
		string(node.Extra["900"]):             `[1.50,1E3,-0,true,{"":[]}]`,
		string(node.Extra["Weight"]):          `12345678901234567890`,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if region, ok := m.Regions[7]; region != nil || !ok {
		t.Errorf("region 7: %v, %v; want a nil region", region, ok)
	}
}

func TestYAMLAsPeopleWriteIt(t *testing.T) {
	m := load(t, `
defaults: &defaults {derpport: 8443, canport80: yes, stunport: 0xd96}
regions:
  900:
    regionid: 900
    regioncode: no
    regionname: 2026-01-02
    nodes:
      - {<<: *defaults, name: 900, regionid: 900, hostname: a.example.com}
      - {name: 900b, regionid: 900, hostname: b.example.com, <<: [*defaults], derpport: 443}
`)
	region := m.Regions[900]
	if region.RegionCode != "no" || region.RegionName != "2026-01-02" {
		t.Errorf("%+v", region)
	}
	want := []*Node{
		{Name: "900", RegionID: 900, HostName: "a.example.com", DERPPort: 8443, CanPort80: true, STUNPort: 3478},
		{Name: "900b", RegionID: 900, HostName: "b.example.com", DERPPort: 443, CanPort80: true, STUNPort: 3478},
	}
	if !reflect.DeepEqual(region.Nodes, want) {
		t.Errorf("got %+v %+v", region.Nodes[0], region.Nodes[1])
	}
}

// A map with a field derpMap of its own is no policy file.
func TestPolicyFile(t *testing.T) {
	inner := `{"Regions":{"900":{"RegionID":900,"RegionCode":"","RegionName":"","Nodes":null}}`
	if m := load(t, `{"derpMap":`+inner+`}}`); len(m.IDs()) != 1 {
		t.Errorf("%+v", m)
	}
	if m := load(t, inner+`,"derpMap":{"Regions":{}}}`); len(m.IDs()) != 1 || m.Extra["derpMap"] == nil {
		t.Errorf("%+v", m)
	}
}

func TestLoadRefuses(t *testing.T) {
	deep := strings.Repeat("[", 1_000_000)
	for name, test := range map[string]struct {
		source string
		form   Form
		want   string // in the error
	}{
		"nothing":            {"", "", "empty"},
		"no JSON":            {"", JSON, "empty"},
		"comments in JSON":   {"{} // fine", JSON, "comments or trailing commas"},
		"a form of its own":  {"{}", "toml", "no such form"},
		"too large":          {"{" + strings.Repeat(" ", MaxSize), "", "more than 1048576 bytes"},
		"deep JSON":          {`{"x":` + deep, "", "1:37: error: more than 32"},
		"deep YAML":          {"x: " + deep[:100_000], "", "more than"},
		"rather deep YAML":   {"x: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "", "more than 32"},
		"alias in itself":    {"x: &x [*x]", "", "more than 32"},
		"aliases":            {bomb(9), "", "aliases"},
		"alias of much text": {"x: &x " + strings.Repeat("y", 900_000) + "\nz: [*x,*x,*x,*x,*x]", "", "aliases"},
		"no number in JSON":  {"x: .inf", "", "not a number that JSON has"},
		"key of a list":      {"[a]: b", "", "key"},
		"merged text":        {"<<: a", "", "<< needs"},
		"region 9e2":         {`{"Regions":{"9e2":{}}}`, "", "region-key"},
		"large region":       {`{"Regions":{"900":{"RegionID":1e400}}}`, "", "1:31: error: Regions.900.RegionID"},
		"large score":        {`{"HomeParams":{"RegionScore":{"900":1e400}}}`, "", "too large"},
		"position":           {"{\n\t\"ä\": 1, x\n}", "", "2:"},
	} {
		m, err := Load([]byte(test.source), test.form)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, %v; want %q", name, m, err, test.want)
		}
		if f := (Finding{}); name != "a form of its own" && !errors.As(err, &f) {
			t.Errorf("%s: no finding: %v", name, err)
		}
	}
}

// bomb has 10^n values if one follows its aliases.
func bomb(n int) string {
	text := "a0: &a0 [x]\n"
	for i := 1; i <= n; i++ {
		name := string(rune('0' + i))
		below := "*a" + string(rune('0'+i-1))
		text += "a" + name + ": &a" + name + " [" + strings.Repeat(below+",", 9) + below + "]\n"
	}
	return text
}

func TestEncodeRefuses(t *testing.T) {
	extra := func(name, value string) *Map { return &Map{Extra: Extra{name: json.RawMessage(value)}} }
	for name, m := range map[string]*Map{
		"a field of ours": extra("regions", "{}"),
		"no JSON":         extra("x", "{"),
		"nothing":         extra("x", ""),
		"deep":            extra("x", strings.Repeat("[", 32)+strings.Repeat("]", 32)),
		"nil node":        {Regions: map[int]*Region{900: {Nodes: []*Node{nil}}}},
		"no number":       {Regions: map[int]*Region{900: {Latitude: math.NaN()}}},
		"infinite score":  {HomeParams: &HomeParams{RegionScore: map[int]float64{1: math.Inf(1)}}},
	} {
		for _, form := range forms {
			if text, err := m.Encode(form); err == nil {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
	if _, err := new(Map).Encode("toml"); err == nil {
		t.Error("wrote TOML")
	}
}

func TestPortsOfANode(t *testing.T) {
	for _, test := range []struct {
		node       Node
		derp, stun int
	}{
		{Node{}, 443, 3478},
		{Node{DERPPort: 8443, STUNPort: 3479}, 8443, 3479},
		{Node{STUNPort: -1}, 443, 0},
	} {
		if test.node.DERP() != test.derp || test.node.STUN() != test.stun {
			t.Errorf("%+v: %d, %d", test.node, test.node.DERP(), test.node.STUN())
		}
	}
}
