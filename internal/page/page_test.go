package page

import (
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// Texts of strangers stay in their line, turn nothing around, and hide nothing.
func TestTextIsHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"phone":                 "phone",
		"Müller's 电话 שלום":      "Müller's 电话 שלום",
		"a\u202eb":              `a\u202eb`,
		"a\u2066b\u200f":        `a\u2066b\u200f`,
		"\x1b[31mred\n":         `\u001b[31mred\u000a`,
		"zero\u200bwidth":       `zero\u200bwidth`,
		"a\u0301\u0301\u0301":   "a\u0301\u0301" + `\u0301`,
		"\xff\xfe":              `\ufffd\ufffd`,
		strings.Repeat("x", 99): strings.Repeat("x", 20) + "…",
		"<script>":              "<script>", // html/template's business
	} {
		if got := Text(text, 20); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := Text(strings.Repeat("\u202e", 1_000_000), 40); len(got) > 100 {
		t.Errorf("a million marks take %d bytes", len(got))
	}
}

func TestFigures(t *testing.T) {
	for got, want := range map[string]string{
		Bytes(0): "0 B", Bytes(999): "999 B", Bytes(1000): "1.0 kB", Bytes(9_949): "9.9 kB", Bytes(9_950): "10 kB", Bytes(999_499): "999 kB",
		Bytes(999_500): "1.0 MB", Bytes(1.5e12): "1.5 TB", Bytes(math.MaxUint64): "18 EB",
		Rate(12345): "12 kB/s",
		Count(0):    "0", Count(999): "999", Count(1000): "1\u202f000", Count(-1234567): "-1\u202f234\u202f567", Count(-100): "-100",
		Percent(0, 0): "0 %", Percent(1, 0): "0 %", Percent(1, 100000): "< 0.1 %", Percent(1, 40): "2.5 %", Percent(1, 2): "50 %",
		Span(1500 * time.Microsecond): "2 ms", Span(90 * time.Second): "1 min", Span(25 * time.Hour): "1 d 1 h", Span(-time.Minute): "-1 min", Span(3 * time.Second): "3 s", Span(900): "0 µs",
		Ago(time.Time{}): "never",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A line has gaps where nothing is known, and stays within the drawing.
func TestChart(t *testing.T) {
	var c Chart
	nan := math.NaN()
	c.Draw(Rate, Figures{Name: "in", Values: []float64{nan, 0, 400, nan, 200}, Filled: true}, Figures{Name: "out", Values: []float64{1, 1, 1, 1, nan}})
	if c.Top != "500 B/s" || c.Middle != "250 B/s" {
		t.Errorf("marks %s, %s", c.Top, c.Middle)
	}
	in, out := c.Lines[0], c.Lines[1]
	if in.Path != "M150 100L300 20M600 60" || in.Area != "M150 100L150 100L300 20L300 100ZM600 100L600 60L600 100Z" || in.Now != "200 B/s" {
		t.Errorf("%+v", in)
	}
	if out.Area != "" || out.Now != "–" || in.Class == out.Class {
		t.Errorf("%+v", out)
	}
	if c.Summary != "in 200 B/s at the end; out – at the end; 400 B/s at most" {
		t.Error(c.Summary)
	}
	for _, values := range [][]float64{nil, {nan}, {0}, {math.Inf(1)}, {-5, 3}} {
		var c Chart
		c.Draw(Rate, Figures{Name: "x", Values: values, Filled: true})
		if text := c.Lines[0].Path + c.Lines[0].Area; strings.ContainsAny(text, "NI") {
			t.Errorf("%v is drawn as %s", values, text)
		}
	}
}

func hello(t *testing.T) *Set {
	t.Helper()
	s, err := New(fstest.MapFS{"own.html": {Data: []byte(`{{define "hello"}}<p>{{.Body}}</p>{{end}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Whatever a page shows is text, and the headers let nothing else run or be loaded.
func TestShowIsSafe(t *testing.T) {
	w := httptest.NewRecorder()
	const hostile = `<script>alert(1)</script>"'>`
	hello(t).Show(w, http.StatusOK, "hello", Frame{Title: hostile, Who: hostile, Name: hostile, Note: hostile, Body: hostile, Every: 2, Links: []Link{{"javascript:alert(1)", hostile, true}}})
	body := w.Body.String()
	if strings.Count(body, "<script") != 1 || strings.Contains(body, "<script>") || strings.Contains(body, "javascript:") {
		t.Error(body)
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Error(policy)
	}
	for _, name := range []string{"X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Resource-Policy"} {
		if w.Header().Get(name) == "" {
			t.Errorf("there is no %s", name)
		}
	}
	for _, inline := range []string{`\sstyle=`, `\son[a-z]+=`, `<style`} {
		if regexp.MustCompile(inline).MatchString(body) {
			t.Errorf("the policy forbids %s", inline)
		}
	}
}

// Everything that a page names is there.
func TestAssets(t *testing.T) {
	s := hello(t)
	w := httptest.NewRecorder()
	s.Show(w, http.StatusOK, "hello", Frame{})
	found := regexp.MustCompile(`(?:href|src)="(page\.[^"]+)"`).FindAllStringSubmatch(w.Body.String(), -1)
	if len(found) < 3 {
		t.Fatal(w.Body)
	}
	for _, f := range found {
		w := httptest.NewRecorder()
		if !s.ServeAsset(w, httptest.NewRequest("GET", "/"+f[1], nil)) || w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Body.Len() == 0 {
			t.Errorf("%s: %d %v", f[1], w.Code, w.Header())
		}
	}
	for _, other := range []string{"/page.css/", "/x/page.css", "/frame.html", "/", "/own.html", "/page.go"} {
		if s.ServeAsset(httptest.NewRecorder(), httptest.NewRequest("GET", other, nil)) {
			t.Errorf("%s is answered", other)
		}
	}
}

// So many pages are made at once; who comes then is told when to come again.
func TestPagesAtOnceAreBounded(t *testing.T) {
	s := hello(t)
	var ends []func()
	for range mostAtOnce {
		end, ok := s.Begin(httptest.NewRecorder())
		if !ok {
			t.Fatal("there is room")
		}
		ends = append(ends, end)
	}
	w := httptest.NewRecorder()
	if _, ok := s.Begin(w); ok || w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%v %d %v", ok, w.Code, w.Header())
	}
	ends[0]()
	if _, ok := s.Begin(httptest.NewRecorder()); !ok {
		t.Error("a place that was given back is not taken")
	}
}

func TestMissingTemplatesAreTold(t *testing.T) {
	if _, err := New(fstest.MapFS{"own.html": {Data: []byte(`{{define "x"}}{{nothing}}{{end}}`)}}); err == nil {
		t.Error("a template that calls what there is not was taken")
	}
	w := httptest.NewRecorder()
	hello(t).Show(w, http.StatusOK, "other", Frame{})
	if w.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
