// Package alerts looks whether what dist has for Prometheus and Grafana fits to what our
// servers answer: every expression is of numbers that there are, every rule is tried both
// ways, and promtool has nothing to say. It needs promtool (Debian: prometheus).
package alerts

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

const (
	dist = "../../dist/"
	docs = "../../docs/"
)

// others are numbers that are not ours: of Prometheus, the process and the Go runtime.
var others = []string{"up", "ALERTS", "process_start_time_seconds", "process_open_fds", "process_max_fds", "process_cpu_seconds_total", "process_resident_memory_bytes", "go_memstats_heap_inuse_bytes"}

// everywhere are labels that Prometheus or a rule gives to numbers.
var everywhere = []string{"__name__", "job", "instance", "le", "alertname", "alertstate"}

var listed = regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\| ([a-z]+) \\| [a-z]* \\| ([^|]*) \\|")

// theNumbers are those of docs/metrics.md, which a test makes from the tables, with their
// labels.
func theNumbers(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(docs + "metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]string)
	for _, m := range listed.FindAllStringSubmatch(string(page), -1) {
		var names []string
		for _, label := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(m[3], -1) {
			names = append(names, label[1])
		}
		if m[2] == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				all[m[1]+part] = names
			}
			continue
		}
		all[m[1]] = names
	}
	if len(all) < 150 {
		t.Fatalf("only %d numbers are in the page", len(all))
	}
	for _, name := range others {
		all[name] = nil
	}
	return all
}

// checkExpression says what is wrong with one.
func checkExpression(known map[string][]string, text string) error {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return err
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, is := node.(*parser.VectorSelector); is && err == nil {
			err = checkSelector(known, selector)
		}
		return nil
	})
	return err
}

func checkSelector(known map[string][]string, s *parser.VectorSelector) error {
	has, is := known[s.Name]
	if !is {
		return fmt.Errorf("there is no number %q in docs/metrics.md", s.Name)
	}
	for _, m := range s.LabelMatchers {
		if !slices.Contains(everywhere, m.Name) && !slices.Contains(has, m.Name) {
			return fmt.Errorf("%s has no label %s", s.Name, m.Name)
		}
		if m.Type == labels.MatchEqual && m.Value == "" {
			return fmt.Errorf("%s: the value of %s is empty", s.Name, m.Name)
		}
	}
	return nil
}

// A number or label that is not there is found.
func TestExpressionsAreLookedAt(t *testing.T) {
	known := theNumbers(t)
	for text, fine := range map[string]bool{
		`detour_conns > 1`: true, `rate(detour_ended_total{reason="eof"}[5m])`: true, `histogram_quantile(0.9, rate(detour_outbox_time_seconds_bucket[5m]))`: true,
		`detour_connections`: false, `detour_conns{reason="eof"}`: false, `detour_outbox_time_seconds`: false, `1 +`: false, `detour_conns{job=""}`: false,
		`sum(detour_conns) / sum(detour_nothing)`: false,
	} {
		if err := checkExpression(known, text); (err == nil) != fine {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// rules is a file of rules.
type rules struct {
	Groups []struct {
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func read[T any](t *testing.T, name string, into *T) {
	t.Helper()
	text, err := os.ReadFile(dist + name)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func allRules(t *testing.T) (all []rule) {
	t.Helper()
	var file rules
	read(t, "alerts.yml", &file)
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) < 30 {
		t.Fatalf("only %d rules", len(all))
	}
	return all
}

// Each rule says what is wrong and what to do, is of numbers that there are, and is
// explained.
func TestRules(t *testing.T) {
	known := theNumbers(t)
	page, err := os.ReadFile(docs + "watch.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range allRules(t) {
		if err := checkExpression(known, r.Expr); err != nil {
			t.Errorf("%s: %v", r.Alert, err)
		}
		if r.Annotations["summary"] == "" || r.Annotations["action"] == "" || !slices.Contains([]string{"page", "ticket"}, r.Labels["severity"]) {
			t.Errorf("%s: want a summary, an action, and the severity page or ticket: %v %v", r.Alert, r.Annotations, r.Labels)
		}
		if !strings.Contains(string(page), "`"+r.Alert+"`") {
			t.Errorf("docs/watch.md does not explain %s", r.Alert)
		}
	}
}

// Each rule is tried where it should fire and where not, with numbers that there are.
func TestRulesAreTried(t *testing.T) {
	var file struct {
		Tests []struct {
			Name   string `yaml:"name"`
			Series []struct {
				Series string `yaml:"series"`
			} `yaml:"input_series"`
			Expressions []struct {
				Expr    string `yaml:"expr"`
				Samples []any  `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		} `yaml:"tests"`
	}
	read(t, "alerts_test.yml", &file)
	known, tried := theNumbers(t), make(map[string]bool)
	for _, test := range file.Tests {
		for _, s := range test.Series {
			if err := checkExpression(known, s.Series); err != nil {
				t.Errorf("%s: %v", test.Name, err)
			}
		}
		for _, e := range test.Expressions {
			if err := checkExpression(known, e.Expr); err != nil {
				t.Errorf("%s: %v", test.Name, err)
			}
			tried[fmt.Sprintf("%s %v", e.Expr, len(e.Samples) > 0)] = true
		}
	}
	for _, r := range allRules(t) {
		for _, fires := range []bool{true, false} {
			if want := fmt.Sprintf("count(ALERTS{alertname=%q, alertstate=\"firing\"}) %v", r.Alert, fires); !tried[want] {
				t.Errorf("no test has %s fire: %v", r.Alert, fires)
			}
		}
	}
}

// Every panel asks for numbers that there are.
func TestDashboards(t *testing.T) {
	files, err := filepath.Glob(dist + "grafana/*.json")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	known, ids := theNumbers(t), make(map[string]string)
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", "detour", "$instance", "a")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board map[string]any
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		id, _ := board["uid"].(string)
		if other := ids[id]; id == "" || other != "" {
			t.Errorf("%s: its uid is %q, as that of %q", file, id, other)
		}
		ids[id] = file
		n := 0
		for _, expr := range expressions(board) {
			n++
			if err := checkExpression(known, variables.Replace(expr)); err != nil {
				t.Errorf("%s: %s: %v", file, expr, err)
			}
		}
		if n < 20 {
			t.Errorf("%s: only %d expressions", file, n)
		}
	}
}

// expressions are all beneath a value, those of label_values among them.
func expressions(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			all = append(all, expressions(element)...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			text, isText := v[name].(string)
			switch inner, isQuery := strings.CutPrefix(text, "label_values("); {
			case isText && name == "expr":
				all = append(all, text)
			case isQuery:
				all = append(all, inner[:strings.LastIndex(inner, ",")])
			default:
				all = append(all, expressions(v[name])...)
			}
		}
	}
	return all
}
