package admit

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var (
	one, two, three = k(1).String(), k(2).String(), k(3).String()
	day             = time.Date(2090, 1, 31, 12, 0, 0, 0, time.UTC)
)

// The forms of others, shortened to what matters and some of what does not.
var imports = map[string]struct {
	text string
	want []Entry
}{
	"a list": {one + " label=a\n# x\n" + two + "\n", []Entry{{Key: k(1), Label: "a"}, {Key: k(2)}}},
	"tailscale status": {`{"Version":"1.90.1","BackendState":"Running","Self":{"ID":"n1","PublicKey":"` + one + `","HostName":"relay","DNSName":"relay.x.ts.net.","KeyExpiry":"2090-01-31T12:00:00.5Z","Online":true},
		"Peer":{"` + two + `":{"PublicKey":"` + two + `","HostName":"laptop","Expired":true,"KeyExpiry":"2020-01-31T12:00:00Z"},
		"` + three + `":{"PublicKey":"` + three + `","HostName":"gone","Expired":true}},"User":{"1":{"LoginName":"a@b"}},"ClientVersion":null}`,
		[]Entry{{Key: k(1), Name: "relay", Until: day}, {Key: k(2), Name: "laptop", Until: time.Date(2020, 1, 31, 12, 0, 0, 0, time.UTC)}}},
	"headscale nodes list": {fmt.Sprintf(`[{"id":1,"machine_key":"mkey:00","node_key":"%s","disco_key":"discokey:00","name":"localhost","user":{"id":1,"name":"u","created_at":{"seconds":1700000000}},
		"expiry":{"seconds":%d,"nanos":5},"given_name":"laptop","register_method":1},
		{"id":2,"node_key":"%s","name":"server","given_name":"","expiry":{"seconds":-62135596800}},{"id":3,"node_key":"%s","given_name":"phone"}]`, one, day.Unix(), two, three[8:]),
		[]Entry{{Key: k(1), Name: "laptop", Until: day}, {Key: k(2), Name: "server"}, {Key: k(3), Name: "phone"}}},
	"headscale's API": {`{"nodes":[{"id":"1","machineKey":"mkey:00","nodeKey":"` + one + `","name":"localhost","givenName":"laptop","expiry":"2090-01-31T12:00:00Z"},{"nodeKey":"` + two + `","expiry":null}]}`,
		[]Entry{{Key: k(1), Name: "laptop", Until: day}, {Key: k(2)}}},
	"tailscale's device list": {`{"devices":[{"addresses":["100.64.0.1"],"id":"1","user":"a@b","name":"laptop.x.ts.net","hostname":"laptop","authorized":true,"nodeKey":"` + one + `","expires":"2090-01-31T12:00:00Z","keyExpiryDisabled":false},
		{"hostname":"server","authorized":true,"nodeKey":"` + two + `","expires":"2020-01-31T12:00:00Z","keyExpiryDisabled":true},
		{"hostname":"new","authorized":false,"nodeKey":"` + three + `","expires":"0001-01-01T00:00:00Z"},
		{"hostname":"shared","nodeKey":"","expires":""}]}`,
		[]Entry{{Key: k(1), Name: "laptop", Until: day}, {Key: k(2), Name: "server"}}},
	"our own list": {`{"entries":[{"key":"` + one + `","label":"a","until":"2090-01-31T12:00:00Z","name":"laptop","from":"allow"}],"bans":[]}`,
		[]Entry{{Key: k(1), Label: "a", Until: day, Name: "laptop"}}},
	"our own list, bare": {`[{"key":"` + one + `","label":"a"}]`, []Entry{{Key: k(1), Label: "a"}}},
	"by PowerShell":      {"\ufeff[{\"key\":\"" + one + "\"}]\r\n", []Entry{{Key: k(1)}}},
	"odd names":          {`[{"node_key":"` + one + `","given_name":"a\nb\u0000c` + strings.Repeat("é", 200) + `"}]`, []Entry{{Key: k(1), Name: "abc" + strings.Repeat("é", 126)}}},
}

func TestImportsAreRead(t *testing.T) {
	for name, c := range imports {
		t.Run(name, func(t *testing.T) {
			got, err := ParseImport([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.want) {
				t.Fatalf("%+v, want %+v", got, c.want)
			}
			for i, e := range got {
				w := c.want[i]
				if e.Key != w.Key || e.Label != w.Label || e.Name != w.Name || !e.Until.Equal(w.Until) || e.From != "" {
					t.Errorf("%+v, want %+v", e, w)
				}
			}
		})
	}
}

func TestImportsThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "the import has no keys: it is empty",
		" \n":                    "the import has no keys: it is empty",
		"# nobody":               "the import has no keys: it has comments only",
		"[]":                     "the import has no keys: it has 0 machines",
		`{"devices":[]}`:         "the import has no keys: it has 0 machines",
		`[{"a":1}]`:              "the import has no keys: it has 1 machines, none of which",
		`{"a":1}`:                "this JSON has no machines: want a list of keys, or the output of",
		`{"message":"no token"}`: "this JSON has no machines",
		"<html>":                 `line 1: "<html>" is no key`,
		one + "\nnonsense":       `line 2: "nonsense" is no key`,
		"[\n{\"node_key\":":      "line 2, column 13: the JSON ends too early",
		"[\n{\"node_key\" 1}]":   "line 2, column 13: not JSON",
		`[{"node_key":1}]`:       "node_key is of the kind number, where a text belongs",
		`{"devices":{}}`:         "evices is of the kind object, where a list belongs",
		`[] []`:                  "more behind the JSON: give one document at a time",
		`[{"node_key":"mkey:` + one[8:] + `","name":"x"}]`:                             `machine 1 ("x"): public key: want "nodekey:"`,
		`[{"node_key":"` + one + `","expiry":"soon"}]`:                                 `"soon" is no time`,
		`{"BackendState":"NeedsLogin","Self":{"PublicKey":"nodekey:` + one[8:] + `"}}`: "tailscale is in the state \"NeedsLogin\"",
		`[{"key":"` + one + `","label":"a b"}]`:                                        `machine 1 (""): label "a b"`,
		`{"BackendState":"Running","Self":{"PublicKey":"nodekey:` + one[8:20] + `"}}`:  "want 64 hex digits",
		"\x1f\x8b\x08": "gzip",
		`{"devices":[{"nodeKey":"` + one + `","authorized":false}]}`:                   "none of which is authorized",
		`{"Self":{"PublicKey":"nodekey:` + strings.Repeat("0", 64) + `"},"Peer":null}`: "the import has no keys",
		`{"nodes":[{"nodeKey":"` + one + `","expiry":{"seconds":"x"}}]}`:               "is no time",
		"[" + strings.Repeat("[", 100000):                                              "line 1",
	} {
		got, err := ParseImport([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || len(got) != 0 {
			t.Errorf("%.60q: %v, %v; want %s", text, got, err, want)
		}
		if strings.Contains(want, "has no keys") != errors.Is(err, ErrEmptyImport) && !strings.Contains(want, "none of which") {
			t.Errorf("%.60q: %v is ErrEmptyImport: %v", text, err, errors.Is(err, ErrEmptyImport))
		}
	}
}

func FuzzImport(f *testing.F) {
	for _, c := range imports {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := ParseImport(data)
		if err == nil && len(entries) == 0 {
			t.Error("nobody, and no error")
		}
		for _, e := range entries {
			if err := e.check(); err != nil {
				t.Errorf("%+v: %v", e, err)
			}
		}
	})
}
