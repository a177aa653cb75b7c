package mapfeed

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/derpmap"
)

func read(t *testing.T, cfg SourceConfig) (Text, error) {
	t.Helper()
	s, err := NewSource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s.Read(t.Context())
}

func TestSourceOfAnAuthorityOfOnesOwn(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); r.URL.Path == "/private.json" && password != "hunter2" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		w.Write([]byte(oneRegion))
	}))
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())

	_, err := read(t, SourceConfig{Name: web.URL})
	if !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("without its authority: %v", err)
	}
	got, err := read(t, SourceConfig{Name: web.URL + "/derp.yaml", RootCAs: roots})
	if err != nil || string(got.Data) != oneRegion || got.Form != derpmap.YAML {
		t.Errorf("%+v, %v", got, err)
	}
	private := strings.Replace(web.URL, "://", "://u:%s@", 1) + "/private.json"
	if _, err := read(t, SourceConfig{Name: strings.Replace(private, "%s", "hunter2", 1), RootCAs: roots}); err != nil {
		t.Error(err)
	}
	_, err = read(t, SourceConfig{Name: strings.Replace(private, "%s", "hunter3", 1), RootCAs: roots})
	if err == nil || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "401") {
		t.Errorf("with the wrong password: %v", err)
	}
}

func TestSourceRefusesWithoutRepeatingThePassword(t *testing.T) {
	for _, name := range []string{"http://u:hunter%zz2@h/x", "ftp://u:hunter2@h/x", "http://u:hunter2@", "://u:hunter2@h", "http://u:hunter2@h:x/", ""} {
		if s, err := NewSource(SourceConfig{Name: name}); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: %v, %v", name, s, err)
		}
	}
}

func TestFormOfASource(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		data string
		want derpmap.Form
	}{
		"a.json": {"regions:", derpmap.JSON}, "a.YML": {"{}", derpmap.YAML}, "a.jsonc": {"{}", derpmap.HuJSON},
		"json": {" {}", derpmap.JSON}, "hujson": {"{} // x", derpmap.HuJSON}, "yaml": {"regions: {}", derpmap.YAML},
		"utf16": {"\xff\xfe{\x00}\x00", derpmap.JSON}, "bom": {"\ufeff{}", derpmap.JSON}, "snippet": {`"derpMap": {}`, derpmap.HuJSON},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(test.data), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, SourceConfig{Name: path}); err != nil || got.Form != test.want {
			t.Errorf("%s: %s, %v; want %s", name, got.Form, err, test.want)
		}
	}
	got, err := read(t, SourceConfig{Name: Stdin, Stdin: strings.NewReader(oneRegion), Form: derpmap.YAML})
	if err != nil || got.Form != derpmap.YAML || got.Name != "<stdin>" {
		t.Errorf("%+v, %v", got, err)
	}
}

// What cannot be served even so has no way round it.
func TestRefusalSaysWhetherForceHelps(t *testing.T) {
	for text, forcible := range map[string]bool{
		`{"Regions"`:             false,
		`{"Regions":{"900":7}}`:  false,
		"services: {}":           false,
		`{"Regions":{"900":{}}}`: true,
		`{"Regions":{"900":{"RegionID":900,"Nodes":[{}]}}}`: true,
	} {
		for _, force := range []bool{false, true} {
			feed, err := NewFeed(FeedConfig{
				Read:    func(context.Context) (Text, error) { return Text{Name: "x", Data: bytes.TrimSpace([]byte(text))}, nil },
				Handler: new(Handler), Force: force,
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = feed.Open(t.Context())
			refused, ok := errors.AsType[*Refusal](err)
			if want := !force || !forcible; ok != want || ok && refused.Forcible != forcible {
				t.Errorf("%s, force %v: %v", text, force, err)
			}
		}
	}
}

func TestHandlerWithoutAMap(t *testing.T) {
	w := httptest.NewRecorder()
	new(Handler).ServeHTTP(w, httptest.NewRequest("GET", "/derpmap.json", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Error(w.Code)
	}
}
