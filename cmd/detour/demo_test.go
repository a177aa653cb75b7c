package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
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

func TestDemoPartsEndTogether(t *testing.T) {
	idle := demoPart{"idle", func(ctx context.Context) error { <-ctx.Done(); return nil }}
	for name, fault := range map[string]error{"with an error": errors.New("no more sockets"), "without one": nil} {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			log := slog.New(slog.NewTextHandler(&text, nil))
			err := runParts(t.Context(), log, []demoPart{idle, {"relay 900a", func(context.Context) error { return fault }}, idle})
			if err == nil || !errors.Is(err, fault) && fault != nil || !strings.HasPrefix(err.Error(), "relay 900a has ended unasked: ") {
				t.Errorf("%v", err)
			}
			if !strings.Contains(text.String(), `level=ERROR msg="a part of the demo has ended`) || strings.Count(text.String(), "\n") != 1 {
				t.Errorf("the log says:\n%s", &text)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := runParts(ctx, slog.New(slog.DiscardHandler), []demoPart{idle, idle}); err != nil {
		t.Errorf("ended by a signal: %v", err)
	}
}

// The flags of a relay are not those of a demo, so its remedy does not do.
func TestDemoSaysWhatToDoAboutATakenPort(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.LocalAddr().(*net.UDPAddr).AddrPort()
	state := demoState{dir: t.TempDir()}
	meshKey, err := state.meshKeyFile()
	if err != nil {
		t.Fatal(err)
	}
	_, err = startDemoRelay("900a", addr.Addr(), int(addr.Port()), state, meshKey, slog.New(slog.DiscardHandler))
	if err == nil || !strings.HasPrefix(err.Error(), "relay 900a: listen ") ||
		!strings.HasSuffix(err.Error(), ": stop what listens there, or choose other ports with --port (0: any free ones)") {
		t.Error(err)
	}
}

func TestDemoState(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	state, err := openDemoState("")
	if err != nil {
		t.Fatal(err)
	}
	path, err := state.meshKeyFile()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mesh key: %v, %v", info, err)
	}
	before, _ := os.ReadFile(path)
	if _, err := state.meshKeyFile(); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) || len(before) == 0 {
		t.Errorf("the mesh key is another")
	}
	if err := state.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(state.dir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is still there: %v", err)
	}

	kept, err := openDemoState(filepath.Join(t.TempDir(), "deep", "state"))
	if err = errors.Join(err, kept.close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(kept.dir); err != nil {
		t.Error(err)
	}
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
