package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/key"
)

// A meshed relay runs in this process and has a mesh key.
type meshed struct {
	*testRelay
	keyFile string
}

// startMeshed starts relays that are not linked to each other, with one key.
func startMeshed(t *testing.T, n int) (relays []*meshed) {
	t.Helper()
	keyFile := filepath.Join(t.TempDir(), "mesh.key")
	k := meshkey.New()
	if err := createMeshKeyFile(keyFile, k); err != nil {
		t.Fatal(err)
	}
	for range n {
		c := config.Defaults()
		c.Dev, c.Listen, c.STUN, c.SelfCheck, c.Drain, c.Mesh.KeyFile = true, "127.0.0.1:0", config.STUNOff, config.CheckOff, 0, keyFile
		relays = append(relays, &meshed{runTestRelay(t, c, nil), keyFile})
	}
	return relays
}

// join connects a peer, which stays until the test ends or it is closed.
func (m *meshed) join(t *testing.T, ideal string) key.Public {
	t.Helper()
	k := key.NewPrivate()
	conn, err := client.Dial(t.Context(), client.Config{URL: m.url, Key: k, IdealNode: ideal})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Recv(nil); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if _, err := conn.Recv(nil); err != nil {
				return
			}
		}
	}()
	return k.Public()
}

// alone waits until nobody is left but n peers: those who listed them go when they
// are done, which the relay sees a little later.
func (m *meshed) alone(t *testing.T, n int64) {
	t.Helper()
	for deadline := time.Now().Add(timeout); m.Counters().Conns != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d conns, want %d", m.Counters().Conns, n)
		}
	}
}

// command runs a command line in this process.
func command(t *testing.T, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	return commandFed(t, status, "", args...)
}

// commandFed is command with something on standard input.
func commandFed(t *testing.T, status int, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, talk bytes.Buffer
	if got := run(args, strings.NewReader(stdin), &out, &talk); got != status {
		t.Errorf("%q ended with status %d, want %d: %s%s", args, got, status, out.String(), talk.String())
	}
	return out.String(), talk.String()
}

func wantMatch(t *testing.T, text, want string) {
	t.Helper()
	if !regexp.MustCompile(want).MatchString(text) {
		t.Errorf("%q does not match %s", text, want)
	}
}

func TestPeersList(t *testing.T) {
	relays := startMeshed(t, 2)
	a, b := relays[0], relays[1]
	plain, away := a.join(t, ""), a.join(t, "900b")

	out, _ := command(t, 0, "peers", "list", "--mesh-psk-file", a.keyFile, a.url)
	wantMatch(t, out, `^KEY +ADDRESS +FLAGS +APP\n`)
	wantMatch(t, out, `(?m)^`+plain.String()+` +127\.0\.0\.1:\d+ +- +`)
	wantMatch(t, out, `(?m)^`+away.String()+` +127\.0\.0\.1:\d+ +not-ideal +`)
	if n := strings.Count(out, "\n"); n != 3 {
		t.Errorf("%d lines, want a headline and two peers:\n%s", n, out)
	}

	a.alone(t, 2)
	out, _ = command(t, 0, "peers", "list", "--mesh-psk-file", a.keyFile, a.url, b.url)
	wantMatch(t, out, a.url+": 2 peers\n(.*\n)+\n"+b.url+`: 0 peers\n`)

	a.alone(t, 2)
	b.alone(t, 0)
	out, _ = command(t, 0, "peers", "list", "--json", "--mesh-psk-file", a.keyFile, b.url, a.url)
	wantMatch(t, out, `^\{"relay":"`+b.url+`","peers":\[\]\}\n\{"relay":"`+a.url+`","peers":\[\{.*\}\]\}\n$`)
	wantMatch(t, out, `\{"key":"`+away.String()+`","addr":"127\.0\.0\.1:\d+","flags":\["not-ideal"\]`)
	wantMatch(t, out, `\{"key":"`+plain.String()+`","addr":"127\.0\.0\.1:\d+","flags":\[\]`)
}

// Without the right mesh key nothing is told.
func TestPeersNeedTheMeshKey(t *testing.T) {
	a := startMeshed(t, 1)[0]
	other := filepath.Join(t.TempDir(), "other.key")
	command(t, 0, "key", "mesh", "--out", other)
	for _, verb := range [][]string{{"peers", "list", a.url}, {"prune", a.url}, {"peers", "close", a.url, key.NewPrivate().Public().String()}} {
		out, talk := command(t, 3, append(verb, "--mesh-psk-file", other)...)
		if out != "" {
			t.Errorf("told %q", out)
		}
		wantMatch(t, talk, `/derp: the relay does not tell us of its peers: it has no mesh key, or another one: compare its --mesh-psk-file with ours\n$`)
		t.Setenv(cli.MeshKeyVariables[0], "")
		t.Setenv(cli.MeshKeyVariables[1], "")
		_, talk = command(t, 2, verb...)
		wantMatch(t, talk, `the mesh key of the region is missing: give --mesh-psk-file, or set \$DETOUR_MESH_KEY`)
	}

	// Of several keys each is tried, and the environment is a source.
	right, err := os.ReadFile(a.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(cli.MeshKeyVariables[0], string(wrong)+string(right))
	command(t, 0, "peers", "list", a.url)
}

func TestPeersClose(t *testing.T) {
	a := startMeshed(t, 1)[0]
	gone, stays, stranger := a.join(t, ""), a.join(t, ""), key.NewPrivate().Public()
	out, _ := command(t, 0, "peers", "close", "--mesh-psk-file", a.keyFile, a.url, gone.String())
	wantMatch(t, out, `^`+gone.String()+" closed\n$")
	out, talk := command(t, 1, "peers", "close", "--mesh-psk-file", a.keyFile, a.url, gone.String(), stranger.String())
	wantMatch(t, out, `^`+gone.String()+" was not connected\n"+stranger.String()+" was not connected\n$")
	wantMatch(t, talk, `2 of 2 peers were not connected or have not gone\n$`)
	out, _ = command(t, 0, "peers", "list", "--mesh-psk-file", a.keyFile, a.url)
	wantMatch(t, out, stays.String())
	out, _ = command(t, 0, "peers", "close", "--json", "--mesh-psk-file", a.keyFile, a.url, stays.String())
	wantMatch(t, out, `^\{"relay":"`+a.url+`","closed":\["`+stays.String()+`"\],"absent":\[\],"stayed":\[\]\}\n$`)
}

func TestPrune(t *testing.T) {
	relays := startMeshed(t, 2)
	a, b := relays[0], relays[1]
	stays, away := a.join(t, ""), []key.Public{a.join(t, "900b"), a.join(t, "900b"), b.join(t, "900a")}

	out, _ := command(t, 0, "prune", "--dry-run", "--mesh-psk-file", a.keyFile, a.url, b.url)
	for i, k := range away {
		wantMatch(t, out, `(?m)^`+relays[i/2].url+" "+k.String()+"$")
	}
	wantMatch(t, out, `\nrelays: 2, peers: 4, of them not on the node they want: 3\n$`)

	out, _ = command(t, 0, "prune", "--rate", "100", "--mesh-psk-file", a.keyFile, a.url, b.url)
	wantMatch(t, out, `^relays: 2, peers: 4, of them not on the node they want: 3\n3 closed, 0 left by themselves, 0 stayed, 0 came back where they do not want to be\n$`)

	out, _ = command(t, 0, "prune", "--json", "--mesh-psk-file", a.keyFile, a.url, b.url)
	wantMatch(t, out, `^\{"relays":2,"peers":1,"not_ideal":0,"closed":0,"left":0,"stayed":0,"came_back":0,"dry_run":false,"interrupted":false\}\n$`)
	out, _ = command(t, 0, "peers", "list", "--mesh-psk-file", a.keyFile, a.url)
	wantMatch(t, out, stays.String())
}

// An interrupt ends watching and pruning, and the summary is still printed.
func TestPeersInterrupted(t *testing.T) {
	a := startMeshed(t, 1)[0]
	away := a.join(t, "900b")

	prune := exec.Command("detour", "prune", "--rate", "0.001", "--mesh-psk-file", a.keyFile, a.url)
	out, err := interruptWhen(t, prune, func(_, talk string) bool { return strings.Contains(talk, "0 of 1 closed") })
	if prune.ProcessState.ExitCode() != 1 {
		t.Errorf("prune ended with %v, want status 1", err)
	}
	wantMatch(t, out, `\n0 closed, 0 left by themselves, 1 stayed, 0 came back where they do not want to be\n$`)

	watch := exec.Command("detour", "peers", "list", "--watch", "--mesh-psk-file", a.keyFile, a.url)
	var came key.Public
	out, err = interruptWhen(t, watch, func(out, _ string) bool {
		switch {
		case came.IsZero() && strings.Contains(out, away.String()):
			came = a.join(t, "")
			command(t, 0, "peers", "close", "--mesh-psk-file", a.keyFile, a.url, came.String())
		case !came.IsZero():
			return strings.Contains(out, "- "+came.String())
		}
		return false
	})
	if err != nil {
		t.Errorf("peers list --watch ended with %v", err)
	}
	wantMatch(t, out, `(?m)^\+ `+came.String()+`\t127\.0\.0\.1:\d+\t-\t`)
}

// interruptWhen runs a command until what it has printed is enough.
func interruptWhen(t *testing.T, cmd *exec.Cmd, enough func(out, talk string) bool) (stdout string, err error) {
	t.Helper()
	var out, talk logText
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(timeout); !enough(out.text(), talk.text()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatalf("not enough was printed: %s%s", out.text(), talk.text())
		}
	}
	cmd.Process.Signal(os.Interrupt)
	err = cmd.Wait()
	return out.text(), err
}
