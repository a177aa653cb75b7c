//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/detour-relay/detour/internal/pages"
)

// What the README has one do to connect two machines does what it says.
func TestReadmePair(t *testing.T) {
	commands := forTest(t, readmeCommands(t, "connect-two-machines-1"),
		"grep -q sha256-raw: relay.out", "grep -q detourpair1 anna.out", "detour status --state ben.json | grep -q '^anna .* ago '")
	said := runShell(t, commands)
	if !regexp.MustCompile(`(?m)^anna +100\.\S+, fd\S+ .* \d+s ago `).MatchString(said) {
		t.Errorf("there is no anna:\n%s", said)
	}
}

// What the README has one do to see a tailnet, alone and with three coordinators of
// which one is killed, does what it says.
func TestReadmeTailnet(t *testing.T) {
	ready := func(socket string) string {
		return "detour net status --admin-socket " + socket + "/admin.sock >/dev/null 2>&1"
	}
	homes := func(tailnet, socket string) string {
		return fmt.Sprintf(`test "$(detour net members %s --admin-socket %s/admin.sock 2>/dev/null | grep -c ' 90[01] ')" = 2`, tailnet, socket)
	}
	commands := forTest(t, readmeCommands(t, "run-a-tailnet-1", "run-a-tailnet-2"),
		ready("demo/coord"), homes("home", "demo/coord"), ready("coord1")+" && "+ready("coord2")+" && "+ready("coord3"), homes("office", "coord1"))
	said := runShell(t, strings.Replace(commands, "detour demo ", "detour demo --port 0 ", 1))
	if n := strings.Count(said, "3 packets sent, 3 came back, 0% lost"); n != 2 {
		t.Errorf("packets came back %d times:\n%s", n, said)
	}
}

// readmeCommands are those of blocks of the README.
func readmeCommands(t *testing.T, names ...string) (commands string) {
	t.Helper()
	readme, err := pages.Read(filepath.Join("..", ".."), "README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		block, ok := readme.Block(name)
		if !ok || block.Lang != "sh" {
			t.Fatalf("the README has no commands %s", name)
		}
		commands += block.Text
	}
	return commands
}

// runShell runs commands in a directory of their own, and returns what they say. What
// they leave running is killed.
func runShell(t *testing.T, commands string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "r") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), 6*timeout)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-c", "set -e\n"+commands)
	shell.Dir, shell.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	shell.Stdout, shell.Stderr = out, out // not a pipe, which what it leaves running would hold
	err = shell.Run()
	syscall.Kill(-shell.Process.Pid, syscall.SIGKILL)
	said, _ := os.ReadFile(out.Name())
	if err != nil {
		t.Errorf("%v:\n%s", err, said)
	}
	return string(said)
}

// forTest has commands take free ports, and wait for what has to happen instead of for
// a while.
func forTest(t *testing.T, commands string, waits ...string) string {
	t.Helper()
	for _, wait := range waits {
		at := regexp.MustCompile(`sleep \d+\n`).FindStringIndex(commands)
		if at == nil {
			t.Fatalf("there is no more to wait for: %s", commands)
		}
		commands = commands[:at[0]] + "until " + wait + "; do sleep 0.05; done\n" + commands[at[1]:]
	}
	commands = strings.ReplaceAll(commands, "bin/detour", "detour")
	return strings.NewReplacer("334", freeTen(), "335", freeTen(), "635", freeTen()).Replace(commands)
}

// freeTen is what ten ports begin with that are free now.
func freeTen() string {
	first := 2000 + rand.IntN(1000)
	for !allFree(10*first, 10) {
		first = 2000 + rand.IntN(1000)
	}
	return strconv.Itoa(first)
}
