package derpmap

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/text"
)

func examples(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", dir, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no examples in %s: %v", dir, err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return filepath.Ext(name) == ".want" })
}

func TestLintFindsNothingInGoodExamples(t *testing.T) {
	for _, name := range examples(t, "good") {
		for _, f := range Lint(readFile(t, name), LintConfig{}) {
			t.Errorf("%s:%v", name, f)
		}
	}
}

func TestLintFindsWhatIsWrongInBadExamples(t *testing.T) {
	for _, name := range examples(t, "bad") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			source := readFile(t, name)
			var got strings.Builder
			for _, f := range Lint(source, LintConfig{}) {
				fmt.Fprintln(&got, f.Error())
				if f.Line < 1 || f.Column < 1 || f.Message == "" || f.Code == "" {
					t.Errorf("not all there: %+v", f)
				}
			}
			golden(t, name+".want", got.String())
		})
	}
}

// A rule that no example breaks is a rule that nobody has seen at work.
func TestEachRuleHasAnExample(t *testing.T) {
	var seen strings.Builder
	for _, name := range examples(t, "bad") {
		seen.Write(readFile(t, name+".want"))
	}
	kinds, err := filepath.Glob("testdata/kinds/*.want")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range kinds {
		seen.Write(readFile(t, name))
	}
	rule := regexp.MustCompile(`(?:l\.(?:error|warn)\([^,]*|d\.(?:refuse|found)\([^"]*), "([a-z0-9-]+)"`)
	rules := 0
	for _, file := range []string{"lint.go", "lintnode.go", "linthost.go", "decode.go", "fields.go", "encoding.go", "explainjson.go", "explainyaml.go", "foreign.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range rule.FindAllStringSubmatch(string(source), -1) {
			rules++
			if !strings.Contains(seen.String(), "["+found[1]+"]") {
				t.Errorf("%s: no example breaks the rule %s", file, found[1])
			}
		}
	}
	if rules < 50 {
		t.Errorf("found only %d places where rules are", rules)
	}
}

func TestLintOfAProvidersMap(t *testing.T) {
	source := `{"Regions":{"1":{"RegionID":1,"RegionCode":"one","RegionName":"One","Nodes":[{"Name":"1a","RegionID":1,"HostName":"derp1.example.com"}]}}}`
	if found := Lint([]byte(source), LintConfig{Public: true}); len(found) != 0 {
		t.Error(found)
	}
	found := Lint([]byte(source), LintConfig{})
	if len(found) != 1 || found[0].Code != "region-id-private" || found[0].Severity != Warning {
		t.Error(found)
	}
}

func TestLintOfAMapForOneMachine(t *testing.T) {
	const node = `{"Regions":{"900":{"RegionID":900,"RegionCode":"one","RegionName":"One","Nodes":[
		{"Name":"900a","RegionID":900,"HostName":"relay.example","IPv4":"%s","IPv6":"%s"}]}}}`
	for _, test := range []struct {
		v4, v6 string
		local  bool
		want   int
	}{
		{"127.0.0.1", "::1", true, 0},
		{"127.0.0.1", "::1", false, 2},
		{"169.254.1.1", "fe80::1", true, 2}, // others may be near
	} {
		found := Lint(fmt.Appendf(nil, node, test.v4, test.v6), LintConfig{Local: test.local})
		for _, f := range found {
			if f.Code != "address-special" || f.Severity != Warning {
				t.Error(f)
			}
		}
		if len(found) != test.want {
			t.Errorf("%+v: %v", test, found)
		}
	}
}

// What can be loaded has no finding without which it could not, and the other way
// round.
func TestLoadFailsWithTheFirstFinding(t *testing.T) {
	for _, name := range examples(t, "bad") {
		source := readFile(t, name)
		_, err := Load(source, "")
		if err == nil {
			continue
		}
		if first := Lint(source, LintConfig{}); !strings.Contains(err.Error(), first[0].Code) {
			t.Errorf("%s: %v, but lint begins with %v", name, err, first[0])
		}
	}
}

func TestFindingAsJSON(t *testing.T) {
	found := Lint([]byte(`{"Regions":{"900":7}}`), LintConfig{})
	got, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"severity":"error","code":"type","line":1,"column":19,"path":"Regions.900",` +
		`"message":"here stands a number, but it must be an object",` +
		`"remedy":"write the fields of the region: RegionID, RegionCode, RegionName and Nodes here"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNearest(t *testing.T) {
	for slip, want := range map[string]string{
		"Host_Name": "HostName", "derp-port": "DERPPort", "stunprot": "STUNPort", "IPv5": "IPv4", "Comment": "", "x": "", "ip": "",
		strings.Repeat("x", 1000): "",
	} {
		if got := text.Nearest(slip, nodeFields); got != want {
			t.Errorf("%.20s: %q, want %q", slip, got, want)
		}
	}
}
