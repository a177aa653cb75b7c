package main

import (
	"slices"
	"testing"
)

func TestRegionsAreApart(t *testing.T) {
	all := spreadLatencies(netcheckRegions)
	slices.Sort(all)
	if all[0] != nearestRegion || all[1] != secondRegion || all[len(all)-1] != farthestRegion {
		t.Errorf("%v", all)
	}
	if len(slices.Compact(all)) != netcheckRegions {
		t.Errorf("some regions are equally far: %v", all)
	}
}

func TestBothNetchecksChooseTheNearest(t *testing.T) {
	found, err := compareNetchecks(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if found.Home != firstRegion+3 || len(found.OursMS) != 2 || len(found.TheirsMS) != 2 {
		t.Errorf("%+v", found)
	}
	r := fixture()
	r.Netcheck = &netchecks{OursMS: []float64{90, 110, 100}, TheirsMS: []float64{80, 200, 100}, Home: 1}
	if l := lineOf(t, "netcheck", r); *l.Ratio != 1 || l.Status != statusOK || l.Must != "<= 1.02 x Tailscale's" {
		t.Errorf("%+v", l)
	}
	if err := found.add(&found.OursMS, firstRegion+4, 1, nil); err == nil {
		t.Error("different homes are no failure")
	}
}
