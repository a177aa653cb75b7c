package main

import (
	"bufio"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// startCoordinator is the command "coord" of scripts.
func startCoordinator(ts *testscript.TestScript, neg bool, args []string) {
	r, name, args := relayOf(ts, args)
	if neg || r.cmd != nil {
		ts.Fatalf("usage: coord ARG..., once before each down")
	}
	banner, url := launch(ts, r, name, append([]string{"coord"}, args...), readCoordinator)
	suffix := suffixOf(name)
	ts.Setenv("URL"+suffix, url)
	ts.Setenv("PIN"+suffix, regexp.MustCompile(`sha256-raw:\w+`).FindString(banner))
	ts.Setenv("ADMIN"+suffix, strings.TrimSuffix(regexp.MustCompile(`http://\S+/status`).FindString(banner), "/status"))
	if found := regexp.MustCompile(`commands +(\S+)`).FindStringSubmatch(banner); found != nil {
		ts.Setenv("SOCKET"+suffix, found[1])
	}
	if found := regexp.MustCompile(`\n +https://(\S+), with the token`).FindStringSubmatch(banner); found != nil {
		ts.Setenv("REMOTE"+suffix, found[1])
	}
}

// readCoordinator reads up to the commands to try.
func readCoordinator(lines *bufio.Scanner) (banner, url string) {
	for lines.Scan() {
		banner += lines.Text() + "\n"
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 2 && words[0] == "url":
			url = words[1]
		case strings.HasPrefix(lines.Text(), "  try it "), strings.HasPrefix(lines.Text(), "  note "):
			return banner, url
		}
	}
	return banner, ""
}
