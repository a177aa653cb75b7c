package derpmap

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestMerge(t *testing.T) {
	region := func(id, name string) string {
		return `"` + id + `":{"RegionID":` + id + `,"RegionCode":"` + name + `","RegionName":"","Nodes":null}`
	}
	for name, test := range map[string]struct {
		maps []string
		want string
	}{
		"nothing": {nil, `{"Regions":null}`},
		"later wins": {
			[]string{`{"Regions":{` + region("1", "a") + `,` + region("2", "b") + `}}`, `{"Regions":{` + region("2", "c") + `}}`},
			`{"Regions":{` + region("1", "a") + `,` + region("2", "c") + `}}`,
		},
		"null removes": {
			[]string{`{"Regions":{` + region("1", "a") + `,` + region("2", "b") + `}}`, `{"Regions":{"1":null,"3":null}}`},
			`{"Regions":{` + region("2", "b") + `}}`,
		},
		"no regions, nothing changes": {
			[]string{`{"Regions":{` + region("1", "a") + `}}`, `{"Regions":null,"omitDefaultRegions":true}`},
			`{"Regions":{` + region("1", "a") + `}}`,
		},
		"without the default": {
			[]string{`{"Regions":{` + region("1", "a") + `}}`, `{"Regions":{` + region("900", "x") + `},"omitDefaultRegions":true}`, `{"Regions":{` + region("901", "y") + `}}`},
			`{"Regions":{` + region("900", "x") + `,` + region("901", "y") + `},"omitDefaultRegions":true}`,
		},
		"scores stay": {
			[]string{`{"HomeParams":{"RegionScore":{"1":2}}}`, `{"HomeParams":{}}`},
			`{"HomeParams":{"RegionScore":{"1":2}},"Regions":null}`,
		},
		"scores replaced": {
			[]string{`{"HomeParams":{"RegionScore":{"1":2}}}`, `{"HomeParams":{"RegionScore":{"2":3}}}`},
			`{"HomeParams":{"RegionScore":{"2":3}},"Regions":null}`,
		},
		"scores reset": {
			[]string{`{"HomeParams":{"RegionScore":{"1":2}}}`, `{"HomeParams":{"RegionScore":{}}}`},
			`{"HomeParams":{"RegionScore":{}},"Regions":null}`,
		},
		"extra fields": {
			[]string{`{"A":1,"B":2,"HomeParams":{"D":1}}`, `{"B":3,"C":4,"HomeParams":{"E":2}}`},
			`{"HomeParams":{"D":1,"E":2},"Regions":null,"A":1,"B":3,"C":4}`,
		},
	} {
		maps := []*Map{nil}
		var before []*Map
		for _, source := range test.maps {
			maps = append(maps, load(t, source))
			before = append(before, load(t, source))
		}
		got, err := json.Marshal(Merge(maps...))
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, test.want)
		}
		if !reflect.DeepEqual(maps[1:], append([]*Map{}, before...)) {
			t.Errorf("%s: changed what it merged", name)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	m := load(t, unknown)
	c := m.Clone()
	if !reflect.DeepEqual(m, c) {
		t.Fatalf("%+v", c)
	}
	c.Regions[900].Nodes[0].Extra["Weight"][0] = '9'
	c.Regions[900].Nodes[0].HostName = "other"
	c.Regions[900].Nodes[0] = nil
	c.Regions[900].Extra["Since"] = nil
	c.HomeParams.RegionScore[900] = 7
	c.HomeParams.Extra["Until"] = nil
	c.Extra["Generation"][0] = '9'
	delete(c.Regions, 7)
	if !reflect.DeepEqual(m, load(t, unknown)) {
		t.Error("the original changed")
	}
}

// Clients get whole maps, or such as leave regions or scores as they were.
func TestUpdate(t *testing.T) {
	const (
		regions = `"Regions":{"1":{"RegionID":1,"RegionCode":"a","RegionName":"","Nodes":null}}`
		others  = `"Regions":{"2":{"RegionID":2,"RegionCode":"b","RegionName":"","Nodes":null}}`
		scores  = `"HomeParams":{"RegionScore":{"1":2}}`
		omit    = `"omitDefaultRegions":true`
	)
	for name, test := range map[string]struct{ before, update, want string }{
		"first":                    {"", `{` + regions + `}`, `{` + regions + `}`},
		"nothing":                  {`{` + scores + `,` + regions + `,` + omit + `}`, `{}`, `{` + scores + `,` + regions + `,` + omit + `}`},
		"regions as a whole":       {`{` + regions + `}`, `{` + others + `}`, `{` + others + `}`},
		"regions without omitting": {`{` + regions + `,` + omit + `}`, `{` + others + `}`, `{` + others + `}`},
		"omitting without regions": {`{` + regions + `}`, `{` + omit + `}`, `{` + regions + `}`},
		"scores alone":             {`{` + regions + `}`, `{` + scores + `}`, `{` + scores + `,` + regions + `}`},
		"scores reset":             {`{` + scores + `,` + regions + `}`, `{"HomeParams":{"RegionScore":{}}}`, `{"HomeParams":{"RegionScore":{}},` + regions + `}`},
		"no scores":                {`{` + scores + `,` + regions + `}`, `{"HomeParams":{}}`, `{` + scores + `,` + regions + `}`},
	} {
		var before *Map
		if test.before != "" {
			before = load(t, test.before)
		}
		got, err := json.Marshal(Update(before, load(t, test.update)))
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, test.want)
		}
	}
}
