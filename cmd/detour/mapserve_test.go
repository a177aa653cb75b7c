package main

import (
	"bufio"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

func serveMap(ts *testscript.TestScript, neg bool, args []string) {
	r, name, args := relayOf(ts, args)
	if neg || r.cmd != nil {
		ts.Fatalf("usage: serve ARG..., once before each down")
	}
	_, url := launch(ts, r, name, append([]string{"map", "serve"}, args...), readServing)
	ts.Setenv("URL"+suffixOf(name), url)
	ts.Setenv("ADDR"+suffixOf(name), strings.TrimPrefix(url, "http://"))
}

// readServing reads up to the last line of what a map server prints at start.
func readServing(lines *bufio.Scanner) (text, url string) {
	for lines.Scan() {
		text += lines.Text() + "\n"
		if strings.HasSuffix(lines.Text(), ".yaml") {
			return text, regexp.MustCompile(`http://[^/]+`).FindString(lines.Text())
		}
	}
	return text, ""
}
