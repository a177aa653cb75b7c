package derpmap

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"
)

// vectors has the part of the project's test vectors that is about maps.
func vectors(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../derp/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Maps map[string]string `json:"derp_map"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Maps) == 0 {
		t.Fatal("the vectors have no maps")
	}
	return all.Maps
}

// What the reference writes is read, and written again byte for byte.
func TestVectorsStayAsTheyAre(t *testing.T) {
	for name, source := range vectors(t) {
		var m Map
		if err := json.Unmarshal([]byte(source), &m); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := json.Marshal(m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if string(got) != source {
			t.Errorf("%s:\n got %s\nwant %s", name, got, source)
		}
	}
}

func TestFieldsOfTheFullVector(t *testing.T) {
	want := &Map{
		HomeParams: &HomeParams{RegionScore: map[int]float64{900: 0.5}},
		Regions: map[int]*Region{900: {
			RegionID: 900, RegionCode: "ex", RegionName: "Example", Latitude: 1.5, Longitude: -2.25, Avoid: true, NoMeasureNoHome: true,
			Nodes: []*Node{{
				Name: "900a", RegionID: 900, HostName: "derp.example.com",
				CertName: "sha256-raw:abababababababababababababababababababababababababababababababab",
				IPv4:     "192.0.2.1", IPv6: "2001:db8::1", STUNPort: 3479, STUNOnly: true, DERPPort: 8443, InsecureForTests: true,
				STUNTestIP: "192.0.2.9", CanPort80: true,
			}},
		}},
		OmitDefaultRegions: true,
	}
	if got := load(t, vectors(t)["full"]); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// No scores leaves those of the map before, an empty object resets them. An encoder
// that leaves out what is empty loses that.
func TestEmptyScoresAreNotNoScores(t *testing.T) {
	for source, isNil := range map[string]bool{
		vectors(t)["home_params_empty_score_map"]:            true,
		`{"HomeParams":{"RegionScore":null},"Regions":null}`: true,
		`{"HomeParams":{"RegionScore":{}},"Regions":null}`:   false,
	} {
		for _, form := range []Form{JSON, HuJSON, YAML} {
			text, err := load(t, source).Encode(form)
			if err != nil {
				t.Fatal(err)
			}
			h := load(t, string(text)).HomeParams
			if h == nil || (h.RegionScore == nil) != isNil || len(h.RegionScore) != 0 {
				t.Errorf("%s as %s: %+v, want nil scores: %v", source, form, h, isNil)
			}
		}
	}
}
