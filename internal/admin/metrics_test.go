package admin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/internal/history"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/numbers"
	"github.com/detour-relay/detour/internal/numbers/numberstest"
	"github.com/detour-relay/detour/internal/quota"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/relay"
)

// notMetrics are numbers of a Status that are no metrics, and why.
var notMetrics = map[string]string{
	"PID":                 "it is a name",
	"Relay.Links":         "one each for a sibling; their count is a metric",
	"Relay.Groups":        "one each for a tenant; their count is a metric",
	"STUN.Healthy":        "it is Health.Healthy again",
	"Relay.Draining":      "it is Draining again",
	"Health.SelfCheck.OK": "it is whether failures is 0",
	"Reload.Restart":      "they are names; their count is a metric",
	"Descriptors.Few":     "it is what the limit means",
	"Access.Keys":         "one each for a file; their sum is a metric",
	"Access.Managed.Keys": "it is a part of that sum",
	"Access.Sources":      "one each for a URL or a socket; how many are away is a metric",
	"Access.GraceS":       "it is a setting",
	"Hitters":             "they are of single peers",
}

// fullStatus is one without a nil part.
func fullStatus() *Status {
	return &Status{Health: health.Snapshot{SelfCheck: new(health.SelfCheck)}, STUN: new(stun.Snapshot), Control: new(control.Snapshot), Access: new(admit.Snapshot), Quota: new(quota.Snapshot), History: new(history.State), Scrapes: new(front.Scrapes)}
}

// Each number of a Status stands in the table exactly once: set alone, it is the only
// one that shows, as itself.
func TestEveryNumberIsOneMetric(t *testing.T) {
	numberstest.EachOnce(t, Metrics, fullStatus, notMetrics)
}

// A relay by another name, and this one, are no siblings that could be away.
func TestSiblingsThatAreAway(t *testing.T) {
	s := fullStatus()
	s.Mesh = []mesh.State{{Status: mesh.Self}, {Status: mesh.Linked}, {Status: mesh.Known}, {Status: mesh.Waiting}, {Status: mesh.Dialling}}
	if got := numberstest.Shown(Metrics, s); got["siblings "] != 3 || got["siblings_away "] != 2 {
		t.Errorf("%v, %v", got["siblings "], got["siblings_away "])
	}
}

func TestMetricsAreNamedAsTheyShould(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)
	seen := map[string]bool{}
	for _, m := range Metrics {
		if !name.MatchString(m.Name) || m.Help == "" || seen[m.Name] || !slices.Contains([]numbers.Kind{numbers.Counter, numbers.Gauge, numbers.Histogram}, m.Kind) {
			t.Errorf("%+v", m)
		}
		if !slices.Contains([]string{"", "bytes", "seconds"}, m.Unit) {
			t.Errorf("%s: unit %q", m.Name, m.Unit)
		}
		seen[m.Name] = true
	}
}

func TestSumsHoldOverTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.New(t, relay.Config{})
		a, b := r.Join("A"), r.Join("B")
		for range 5 {
			a.SendPacket(b.Public(), "hello")
			b.SendPacket(r.Join("C").Public(), "and on")
		}
		synctest.Wait()
		a.Close()
		synctest.Wait()
		s := fullStatus()
		s.Relay = r.Server.Survey()
		if s.Relay.Received.Other.Packets == 0 {
			t.Error("no traffic")
		}
		for _, sum := range Sums {
			if !sum.Holds(s) {
				t.Errorf("%s: it does not hold of %+v", sum.Text, s.Relay)
			}
		}
	})
}

// A counter that nobody adds to is a promise that is not kept. The sources say who does.
func TestNoCounterIsDead(t *testing.T) {
	for _, room := range []string{"../../relay", "../edge", "../stun"} {
		fields, moved := counters(t, room)
		if len(fields) < 5 {
			t.Fatalf("%s: the counters are not where they were: %q", room, fields)
		}
		for _, field := range fields {
			if !moved[field] {
				t.Errorf("%s: nobody changes the counter %s", room, field)
			}
		}
	}
}

// counters returns the fields of a room's counters, and which of them something else
// is done with than loading them.
func counters(t *testing.T, room string) (fields []string, moved map[string]bool) {
	t.Helper()
	moved = map[string]bool{}
	names, err := filepath.Glob(filepath.Join(room, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok && n.Name.Name == "counters" {
					for _, f := range s.Fields.List {
						for _, name := range f.Names {
							fields = append(fields, name.Name)
						}
					}
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "byKind" {
					return false // which loads, too
				}
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name != "Load" {
					moved[lastName(f.X)] = true
				}
			case *ast.UnaryExpr: // handed to who adds to it
				if n.Op == token.AND {
					moved[lastName(n.X)] = true
				}
			}
			return true
		})
	}
	return fields, moved
}

// lastName is the field at the end of an expression such as s.count.ended[reason].
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.IndexExpr:
		return lastName(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
