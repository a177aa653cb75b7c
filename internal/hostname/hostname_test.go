package hostname

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/text"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseTakesNamesAndAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"relay.test": "relay.test", "Relay.TEST.": "relay.test", "localhost": "localhost", "a-b.c1": "a-b.c1",
		"1st.example": "1st.example", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"127.0.0.1": "127.0.0.1", "::1": "::1", "2001:DB8::1": "2001:db8::1", "::ffff:192.0.2.1": "192.0.2.1",
		strings.Repeat("a", 63) + ".test": strings.Repeat("a", 63) + ".test",
	} {
		if got, err := Parse(in); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestParseNamesTheMistake(t *testing.T) {
	for in, want := range map[string]struct {
		kind Kind
		host string
	}{
		"":                                {Empty, ""},
		" \t":                             {Empty, ""},
		"relay.test ":                     {Space, "relay.test"},
		"\trelay.test":                    {Space, "relay.test"},
		"relay.test\n":                    {Space, "relay.test"},
		"https://relay.test":              {Scheme, "relay.test"},
		"https://relay.test:443/derp":     {Scheme, "relay.test"},
		"http://u:p@relay.test/":          {Scheme, "relay.test"},
		"wss://[2001:db8::1]:8443":        {Scheme, "2001:db8::1"},
		"https://":                        {Scheme, ""},
		"relay.test/derp":                 {Path, "relay.test"},
		"relay.test/":                     {Path, "relay.test"},
		"relay.test?x":                    {Path, "relay.test"},
		"root@relay.test":                 {User, "relay.test"},
		"relay.test:443":                  {Port, "relay.test"},
		"relay.test:":                     {Port, "relay.test"},
		"relay.test:https":                {Port, "relay.test"},
		":443":                            {Port, ""},
		"192.0.2.1:443":                   {Port, "192.0.2.1"},
		"[2001:db8::1]:443":               {Port, "2001:db8::1"},
		"[::1]":                           {Brackets, "::1"},
		"a.test,b.test":                   {List, ""},
		"a.test, b.test":                  {List, ""},
		"a.test b.test":                   {List, ""},
		"a.test;b.test":                   {List, ""},
		"*.test":                          {Wildcard, ""},
		"*.relay.test":                    {Wildcard, ""},
		"none":                            {Invalid, ""},
		"None":                            {Invalid, ""},
		"bücher.example":                  {NotASCII, "xn--bcher-kva.example"},
		"BÜCHER.example.":                 {NotASCII, "xn--bcher-kva.example"},
		"реле.тест":                       {NotASCII, "xn--e1aars.xn--e1aybc"},
		"a_b.test":                        {Underscore, "a-b.test"},
		"_derp._tcp.test":                 {Underscore, ""},
		"192.168.1":                       {NotAddress, ""},
		"192.168.1.256":                   {NotAddress, ""},
		"010.0.0.1":                       {NotAddress, ""},
		"relay.1":                         {NotAddress, ""},
		"fe80::1%eth0":                    {Zone, ""},
		"0.0.0.0":                         {Nowhere, ""},
		"::":                              {Nowhere, ""},
		"relay..test":                     {Invalid, ""},
		".relay.test":                     {Invalid, ""},
		"-relay.test":                     {Invalid, ""},
		"relay!.test":                     {Invalid, ""},
		`"relay.test"`:                    {Invalid, ""},
		strings.Repeat("a", 64) + ".test": {Invalid, ""},
		strings.Repeat("a.", 130) + "t":   {Invalid, ""},
		"relay.test\u200b":                {Stray, "relay.test"},
		"relay\u2013one.test":             {Stray, "relay-one.test"},
		"relay.test\u00a0":                {Stray, "relay.test"},
	} {
		got, err := Parse(in)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: taken for %q", in, got)
			continue
		}
		if e.Kind != want.kind || e.Host != want.host || e.Name != text.RedactURL(in) || e.What == "" || e.Remedy == "" {
			t.Errorf("%q: %+v; want %+v", in, e, want)
		}
	}
}

// What is offered instead is a host.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"relay.test", "https://u@[::1]:443/x", "bücher.example", "a_b.test", "\u200b", "*.test", "1.2.3.4:5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, err := Parse(s)
		if err == nil {
			if again, err := Parse(host); err != nil || again != host {
				t.Fatalf("%q is %q, which is %q, %v", s, host, again, err)
			}
			return
		}
		var e *Error
		if !errors.As(err, &e) || e.What == "" || e.Remedy == "" {
			t.Fatalf("%q: not all there: %+v", s, err)
		}
		if _, err := Parse(e.Host); e.Host != "" && err != nil {
			t.Fatalf("%q: %q is offered, but %v", s, e.Host, err)
		}
	})
}
