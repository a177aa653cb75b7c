package main

import (
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const servedMap = `{"Regions": {"900": {"RegionID": 900, "RegionCode": "fra", "RegionName": "Frankfurt", "Nodes": [
	{"Name": "900a", "RegionID": 900, "HostName": "a.example.com"}]}}}`

// runLine runs a command line in this process.
func runLine(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(args, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

// A map may come from a server whose certificate an authority of one's own has
// signed.
func TestMapCommandsTakeAnAuthority(t *testing.T) {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(servedMap)) }))
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // it says of each that it is not trusted
	web.StartTLS()
	defer web.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	url := web.URL + "/derpmap.json"
	for _, line := range [][]string{
		{"map", "lint", url},
		{"map", "convert", url, "--to", "yaml"},
		{"map", "diff", url, url},
		{"map", "order", url, "--tailnet", "a"},
		{"map", "merge", url, url},
	} {
		status, _, stderr := runLine(line...)
		if status != 3 || !strings.Contains(stderr, "--ca") {
			t.Errorf("%q without the authority: %d, %s", line, status, stderr)
		}
		if status, stdout, stderr := runLine(append(line, "--ca", ca)...); status != 0 || stderr != "" {
			t.Errorf("%q with it: %d, %s%s", line, status, stdout, stderr)
		}
	}
	for _, line := range [][]string{{"netcheck", url}, {"check", url}, {"map", "serve", url, "--listen", "127.0.0.1:0"}} {
		if status, _, stderr := runLine(line...); status != 3 || !strings.Contains(stderr, "--ca") {
			t.Errorf("%q without the authority: %d, %s", line, status, stderr)
		}
	}
}

func TestAuthorityWithoutEffectIsRefused(t *testing.T) {
	for _, name := range []string{"derp.yaml", "http://127.0.0.1:1/derp.json", "-"} {
		status, _, stderr := runLine("map", "lint", name, "--ca", "nowhere.pem")
		if status != 2 || !strings.Contains(stderr, "--ca has no effect") {
			t.Errorf("%s: %d, %s", name, status, stderr)
		}
	}
}

// What is refused is not repeated with its password.
func TestRefusedURLsKeepTheirPassword(t *testing.T) {
	for _, url := range []string{"http://u:hunter%zz2@h/x", "ftp://u:hunter2@h/x", "http://u:hunter2@:99999/", "http://u:hunter2@127.0.0.1:1/x.json"} {
		for _, line := range [][]string{{"map", "lint", url}, {"map", "lint", "--json", url}, {"map", "serve", url}, {"netcheck", url}, {"check", "--map", url}, {"check", url}, {"ping", url}, {"bench", url}} {
			status, stdout, stderr := runLine(line...)
			if status == 0 || strings.Contains(stdout+stderr, "hunter") {
				t.Errorf("%q: %d, %s%s", line, status, stdout, stderr)
			}
		}
	}
}

// --force is said where it helps, and only there.
func TestForceIsSaidWhereItHelps(t *testing.T) {
	dir := t.TempDir()
	for text, helps := range map[string]bool{
		`{"Regions"`: false, `{"Regions": {"900": 7, "901": []}}`: false, `{"services": {}}`: false, `{}`: false, "": false,
		strings.Replace(servedMap, "a.example.com", "https://a.example.com", 1): true,
	} {
		file := filepath.Join(dir, "m.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := runLine("map", "serve", file, "--listen", "127.0.0.1:0")
		if status != 1 || strings.Contains(stderr, "--force") != helps {
			t.Errorf("%s: %d, %s", text, status, stderr)
		}
	}
}
