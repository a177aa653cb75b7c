package main

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// throughSOCKS gets a page through the proxy that an up has printed:
//
//	throughsocks FILE URL REGEXP
func throughSOCKS(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: throughsocks FILE URL REGEXP")
	}
	at := regexp.MustCompile(`(?m)^socks    (\S+)`).FindStringSubmatch(readIfThere(ts.MkAbs(args[0])))
	if at == nil {
		ts.Fatalf("%s has no proxy", args[0])
	}
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "socks5h", Host: at[1]}), DisableKeepAlives: true}
	c := http.Client{Transport: transport, Timeout: timeout}
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		answer, err := c.Get(args[1])
		if err == nil { // the other may not be there yet
			text, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || !regexp.MustCompile(args[2]).Match(text) {
				ts.Fatalf("%s: %v\n%s", args[1], err, text)
			}
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: %v", args[1], err)
		}
	}
}

// capture sets a variable to what the first group of the expression is in a file, once it
// is there:
//
//	capture NAME FILE REGEXP
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: capture NAME FILE REGEXP")
	}
	want := compileLine(ts, args[2])
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		text := readIfThere(ts.MkAbs(args[1]))
		if found := want.FindStringSubmatch(text); len(found) == 2 {
			ts.Setenv(args[0], found[1])
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nothing matches %s:\n%s", args[2], text)
		}
	}
}
