package derpmap

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestDiff(t *testing.T) {
	a := load(t, `{"Regions":{
		"1":{"RegionID":1,"Nodes":[]}, "12":{"RegionID":12,"Nodes":[]},
		"2":{"RegionID":2,"RegionName":"Two","Latitude":1,"X":1,"Nodes":[
			{"Name":"2a","RegionID":2,"HostName":"a"},{"Name":"2b","RegionID":2,"HostName":"b","DERPPort":8443},{"Name":"2c","HostName":"c"}]},
		"3":null
	},"HomeParams":{"RegionScore":{"1":2}}}`)
	b := load(t, `{"Regions":{
		"1":{"RegionID":1,"Nodes":[]},"3":{"RegionID":3},
		"2":{"RegionID":2,"RegionName":"Zwei","Avoid":true,"X":{"y":2},"Nodes":[
			{"Name":"2b","RegionID":2,"HostName":"b.example.com","Y":1},{"Name":"2d","HostName":"d"},{"Name":"2a","RegionID":2,"HostName":"a"}]}
	},"omitDefaultRegions":true}`)
	changes, err := Diff(a, b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.String())
	}
	want := []string{
		`changed HomeParams: was {"RegionScore":{"1":2}}`,
		`changed omitDefaultRegions: true`,
		`changed region 2 RegionName: "Two" -> "Zwei"`,
		`changed region 2 Latitude: was 1`,
		`changed region 2 X: 1 -> {"y":2}`,
		`changed region 2 Avoid: true`,
		`changed region 2 Nodes: ["2a","2b","2c"] -> ["2b","2d","2a"]`,
		`changed region 2 node 2b HostName: "b" -> "b.example.com"`,
		`changed region 2 node 2b DERPPort: was 8443`,
		`changed region 2 node 2b Y: 1`,
		`removed region 2 node 2c`,
		`added region 2 node 2d`,
		`added region 3`,
		`removed region 12`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %#q\nwant %#q", got, want)
	}
	text, err := json.Marshal(changes[7])
	if want := `{"what":"changed","region":2,"node":"2b","field":"HostName","old":"b","new":"b.example.com"}`; string(text) != want {
		t.Errorf("%v\n got %s\nwant %s", err, text, want)
	}
}

func TestDiffOfTheSame(t *testing.T) {
	twice := load(t, `{"Regions":{"1":{"Nodes":[{"Name":"a"},{"Name":"a"},{},{}]}}}`)
	for _, m := range []*Map{load(t, unknown), new(Map), twice} {
		if changes, err := Diff(m, m.Clone()); len(changes) != 0 || err != nil {
			t.Errorf("%v, %v", changes, err)
		}
	}
	changed := twice.Clone()
	changed.Regions[1].Nodes[1].HostName = "x"
	if changes, _ := Diff(twice, changed); len(changes) != 1 || changes[0].Node != "a#2" {
		t.Errorf("%v", changes)
	}
}
