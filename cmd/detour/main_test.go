package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/stun"
	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// TestMain makes the program available to the scripts in testdata, and fails on
// goroutines that the other tests leave behind.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "4") // the scripts mostly wait; what the command line says goes first
	testscript.Main(leakCheck{m}, programs)
}

type leakCheck struct{ m *testing.M }

func (c leakCheck) Run() int {
	// Under nohup, programs that a script starts would ignore SIGHUP, too. What is
	// caught here has its default there.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	status := c.m.Run()
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks")); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// timeout bounds every wait of a script for something that must happen.
const timeout = 2 * time.Minute

// Besides the usual commands, scripts have those below. A script with several
// relays puts @NAME first: its files are NAME.out and NAME.err, its variables
// URL_NAME and so on.
//
//	fails STATUS REGEXP ARG...  run detour, which must end with the status, one
//	                            line on stderr that matches, and no stdout
//	up ARG...                   start "detour relay" and wait until it is ready, with STUN on
//	                            a free port unless the arguments say otherwise; or, up derper ARG..., what
//	                            takes derper's place;
//	                            sets URL, ADDR, STUN, PIN and ADMIN, writes relay.out and relay.err
//	coord ARG...                start "detour coord" and wait until it answers; sets URL, SOCKET (of its commands), PIN
//	                            and ADMIN, writes relay.out and relay.err
//	serve ARG...                start "detour map serve" and wait until it is ready; sets
//	                            URL (without a path) and ADDR, writes relay.out and relay.err
//	demo ARG...                 start "detour demo" and wait until it is ready; sets MAP (the URL), PORT
//	                            (the map's) and URL (of relay 900a), writes relay.out and relay.err
//	try COUNT                   run all commands that the demo has printed, so many, which must end with status 0
//	portrun NAME COUNT          set the variable to the first of COUNT ports in a row that are free now
//	stun ADDR                   ask for our address by STUN, which must be answered; ! stun: it must not
//	ask STATUS REGEXP URL       fetch the URL until the answer has the status and matches
//	ports NAME...               set each variable to a TCP port that is free now
//	responders NAME...          start a STUN responder on 127.0.0.1 for each variable, which gets its port
//	expand FILE...              replace $NAME in the files by what the variables are
//	logged REGEXP               wait until the relay's log has a matching line
//	signal NAME                 send HUP, TERM, INT or KILL to the relay
//	down                        wait for the relay, which must end with status 0; ! down: any other end
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Values[runningRelay{}] = make(map[string]*runningRelay)
			env.Values[valuesKey{}] = new(values)
			env.Setenv("STATE_DIRECTORY", filepath.Join(env.WorkDir, "machine")) // what serves this machine is not theirs to ask
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": fails, "up": up, "serve": serveMap, "coord": startCoordinator, "logged": logged, "ask": ask, "ports": ports, "stun": askSTUN, "signal": sendSignal, "down": down,
			"responders": startSTUN, "expand": expand, "demo": startDemoCommand, "try": try, "portrun": portRun,
			"coordinator": coordinatorInside, "invite": makeInvite, "expel": expel, "expect": expect, "capture": capture, "throughsocks": throughSOCKS,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails STATUS REGEXP ARG...")
	}
	err := ts.Exec("detour", args[2:]...)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("ended with %v, want status %s", err, args[0])
	}
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	if stdout != "" || strings.Count(stderr, "\n")-strings.Count(stderr, "\n  ") != 1 { // ways out stand below, one a line
		ts.Fatalf("want one line on stderr and nothing on stdout")
	}
	if !regexp.MustCompile(args[1]).MatchString(strings.TrimSpace(stderr)) {
		ts.Fatalf("stderr does not match %s", args[1])
	}
}

// runningRelay is the relay of a script, if it has one.
type runningRelay struct {
	cmd  *exec.Cmd
	done chan error // gets the result of Wait
}

// relayOf returns the relay that the arguments are about, its name and the rest
// of the arguments.
func relayOf(ts *testscript.TestScript, args []string) (r *runningRelay, name string, rest []string) {
	name = "relay"
	if len(args) > 0 && strings.HasPrefix(args[0], "@") {
		name, args = args[0][1:], args[1:]
	}
	all := ts.Value(runningRelay{}).(map[string]*runningRelay)
	if all[name] == nil {
		all[name] = new(runningRelay)
	}
	return all[name], name, args
}

func up(ts *testscript.TestScript, neg bool, args []string) {
	r, name, args := relayOf(ts, args)
	if neg || r.cmd != nil {
		ts.Fatalf("usage: up ARG..., once before each down")
	}
	if len(args) == 0 || args[0] != "derper" {
		args = append([]string{"relay"}, args...)
		if !slices.Contains(args, "--stun") {
			args = append(args, "--stun", "127.0.0.1:0")
		}
	}
	banner, url := launch(ts, r, name, args, readBanner)
	suffix := suffixOf(name)
	ts.Setenv("URL"+suffix, url)
	ts.Setenv("ADDR"+suffix, regexp.MustCompile(`listening +(\S+)`).FindStringSubmatch(banner)[1])
	ts.Setenv("STUN"+suffix, regexp.MustCompile(`stun +(\S+)`).FindStringSubmatch(banner)[1])
	ts.Setenv("ADMIN"+suffix, strings.TrimSuffix(regexp.MustCompile(`http://\S+/status`).FindString(banner), "/status"))
	ts.Setenv("PIN"+suffix, regexp.MustCompile(`sha256-raw:\w+`).FindString(banner))
}

// suffixOf ends the variables that are about the relay of that name.
func suffixOf(name string) string {
	if name == "relay" {
		return ""
	}
	return "_" + name
}

// launch starts the program and returns what it has printed when read has found the URL at which it answers.
func launch(ts *testscript.TestScript, r *runningRelay, name string, args []string, read func(*bufio.Scanner) (text, url string)) (text, url string) {
	cmd := exec.Command("detour", args...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "HOME="+cmd.Dir, "XDG_STATE_HOME=")
	for _, name := range []string{"STATE_DIRECTORY", "DETOUR_MESH_KEY", "TAILSCALE_DERPER_MESH_KEY", "TMPDIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	stderr, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer stderr.Close()
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	stuck := time.AfterFunc(timeout, func() { cmd.Process.Kill() })
	text, url = read(bufio.NewScanner(stdout))
	stuck.Stop()

	r.cmd, r.done = cmd, make(chan error, 1)
	go func() { r.done <- cmd.Wait() }()
	ts.Defer(func() {
		if r.cmd == cmd {
			cmd.Process.Kill()
			<-r.done
		}
	})
	ts.Check(os.WriteFile(ts.MkAbs(name+".out"), []byte(text), 0o600))
	if url == "" {
		ts.Fatalf("it is not ready: %s%s", text, ts.ReadFile(name+".err"))
	}
	return text, url
}

// readBanner reads up to the last line, and finds the URL on the way.
func readBanner(lines *bufio.Scanner) (banner, url string) {
	for lines.Scan() {
		banner += lines.Text() + "\n"
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 2 && words[0] == "url":
			url = words[1]
		case strings.HasPrefix(lines.Text(), "  try it "):
			return banner, url
		}
	}
	return banner, ""
}

func logged(ts *testscript.TestScript, neg bool, args []string) {
	_, name, args := relayOf(ts, args)
	if neg || len(args) != 1 {
		ts.Fatalf("usage: logged REGEXP")
	}
	want := regexp.MustCompile(args[0])
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Clean(ts.MkAbs(name + ".err")))
		ts.Check(err)
		for line := range bytes.Lines(text) {
			if want.Match(line) {
				return
			}
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no log line matches %s:\n%s", args[0], text)
		}
	}
}

func ports(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: ports NAME...")
	}
	for _, name := range args {
		for {
			port := strconv.Itoa(20000 + rand.IntN(10000)) // where no system takes ports for others from
			listener, err := net.Listen("tcp", "127.0.0.1:"+port)
			if err == nil {
				defer listener.Close() // the next one gets another
				ts.Setenv(name, port)
				break
			}
		}
	}
}

func ask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: ask STATUS REGEXP URL")
	}
	want := regexp.MustCompile(args[1])
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		answer, err := http.Get(args[2])
		ts.Check(err)
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		ts.Check(err)
		if strconv.Itoa(answer.StatusCode) == args[0] && want.Match(body) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the last answer was %d:\n%s", answer.StatusCode, body)
		}
	}
}

// silence is how long a script waits for an answer that must not come.
const silence = 300 * time.Millisecond

func askSTUN(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: stun ADDR")
	}
	addr, err := netip.ParseAddrPort(args[0])
	ts.Check(err)
	prober, err := stun.Dial("udp")
	ts.Check(err)
	defer prober.Close()
	if neg {
		if _, err = prober.Probe(context.Background(), addr, silence); !errors.Is(err, stun.ErrSilent) {
			ts.Fatalf("asked for silence, got %v", err)
		}
		return
	}
	result, err := prober.Probe(context.Background(), addr, timeout)
	ts.Check(err)
	if !result.Public.Addr().IsLoopback() {
		ts.Fatalf("it sees us as %v", result.Public)
	}
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	r, _, args := relayOf(ts, args)
	if neg || len(args) != 1 || signals[args[0]] == 0 || r.cmd == nil {
		ts.Fatalf("usage: signal HUP|TERM|INT|KILL, after up")
	}
	ts.Check(r.cmd.Process.Signal(signals[args[0]]))
}

func down(ts *testscript.TestScript, neg bool, args []string) {
	r, name, args := relayOf(ts, args)
	if len(args) != 0 || r.cmd == nil {
		ts.Fatalf("usage: down, after up")
	}
	cmd := r.cmd
	stuck := time.AfterFunc(timeout, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	err := <-r.done
	r.cmd = nil
	if (err != nil) != neg {
		ts.Fatalf("the relay ended with %v:\n%s", err, ts.ReadFile(name+".err"))
	}
}
