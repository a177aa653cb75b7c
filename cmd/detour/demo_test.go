package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// startDemoCommand is the command "demo" of scripts.
func startDemoCommand(ts *testscript.TestScript, neg bool, args []string) {
	r, name, args := relayOf(ts, args)
	if neg || r.cmd != nil {
		ts.Fatalf("usage: demo ARG..., once before each down")
	}
	text, url := launch(ts, r, name, append([]string{"demo"}, args...), readDemo)
	ts.Setenv("URL", regexp.MustCompile(`https://[0-9.:\[\]]+/derp`).FindString(text))
	ts.Setenv("MAP", url)
	addr, err := netip.ParseAddrPort(strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/derpmap.json"))
	ts.Check(err)
	ts.Setenv("PORT", strconv.Itoa(int(addr.Port())))
}

// readDemo reads up to the last line of what a demo prints once it is ready.
func readDemo(lines *bufio.Scanner) (text, url string) {
	for lines.Scan() {
		line := lines.Text()
		text += line + "\n"
		var report demoReport
		if json.Unmarshal([]byte(line), &report) == nil {
			return text, report.Map.URL
		}
		if words := strings.Fields(line); len(words) == 2 && words[0] == "map" {
			url = words[1]
		}
		if strings.HasPrefix(line, "Ctrl-C") {
			return text, url
		}
	}
	return text, ""
}

// try is the command "try" of scripts: it runs what the demo says one may try.
func try(ts *testscript.TestScript, neg bool, args []string) {
	_, name, args := relayOf(ts, args)
	if neg || len(args) != 1 {
		ts.Fatalf("usage: try COUNT, after demo")
	}
	tried := 0
	for line := range strings.Lines(ts.ReadFile(name + ".out")) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "detour" {
			continue
		}
		if slices.Contains(words, "|") { // that needs a shell, and goes on and on
			continue
		}
		if words[1] == "ping" {
			words = append(words, "--count", "1") // or it takes seconds
		}
		ts.Check(ts.Exec("detour", words[1:]...))
		tried++
	}
	if strconv.Itoa(tried) != args[0] {
		ts.Fatalf("there were %d commands to try", tried)
	}
}

// portRun is the command "portrun" of scripts.
func portRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: portrun NAME COUNT")
	}
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	first := 20000 + rand.IntN(10000)
	for !allFree(first, count) {
		first = 20000 + rand.IntN(10000)
	}
	ts.Setenv(args[0], strconv.Itoa(first))
}

func allFree(first, count int) bool {
	for port := first; port < first+count; port++ {
		tcp, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		tcp.Close()
		udp, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		udp.Close()
	}
	return true
}

func TestShellWord(t *testing.T) {
	for path, want := range map[string]string{
		"/tmp/detour-demo-1/mesh.key": "/tmp/detour-demo-1/mesh.key",
		"/home/a b/mesh.key":          `"/home/a b/mesh.key"`,
		`C:\Users\A B\mesh.key`:       `"C:\Users\A B\mesh.key"`,
	} {
		if got := shellWord(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}
