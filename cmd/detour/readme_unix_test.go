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
)

var readmeShell = regexp.MustCompile("(?s)```sh\n(.*?)```")

// What the README has one do to see a tailnet, alone and with three coordinators of
// which one is killed, does what it says.
func TestReadmeTailnet(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Run a tailnet\n")
	blocks := readmeShell.FindAllStringSubmatch(section, 2)
	if !found || len(blocks) != 2 {
		t.Fatal("the README has no two blocks about tailnets")
	}
	dir, err := os.MkdirTemp("", "r") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), 6*timeout)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-c", "set -e\n"+forTest(t, blocks[0][1]+blocks[1][1]))
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
	if n := strings.Count(string(said), "3 packets sent, 3 came back, 0% lost"); err != nil || n != 2 {
		t.Errorf("%v, and packets came back %d times:\n%s", err, n, said)
	}
}

// forTest has commands take free ports, and wait for what has to happen instead of for
// a while.
func forTest(t *testing.T, commands string) string {
	t.Helper()
	until := func(what string) string { return "until " + what + " >/dev/null 2>&1; do sleep 0.05; done" }
	ready := func(socket string) string { return "detour net status --admin-socket " + socket + "/admin.sock" }
	homes := func(tailnet, socket string) string {
		return fmt.Sprintf(`test "$(detour net members %s --admin-socket %s/admin.sock | grep -c ' 90[01] ')" = 2`, tailnet, socket)
	}
	for _, wait := range []string{ready("demo/coord"), homes("home", "demo/coord"), ready("coord1") + " && " + ready("coord2") + " && " + ready("coord3"), homes("office", "coord1")} {
		at := regexp.MustCompile(`sleep \d+\n`).FindStringIndex(commands)
		if at == nil {
			t.Fatalf("there is no more to wait for: %s", commands)
		}
		commands = commands[:at[0]] + until(strings.ReplaceAll(wait, " && ", " >/dev/null && ")) + "\n" + commands[at[1]:]
	}
	commands = strings.ReplaceAll(commands, "bin/detour", "detour")
	commands = strings.Replace(commands, "detour demo ", "detour demo --port 0 ", 1)
	return strings.NewReplacer("335", freeTen(), "635", freeTen()).Replace(commands)
}

// freeTen is what ten ports begin with that are free now.
func freeTen() string {
	first := 2000 + rand.IntN(1000)
	for !allFree(10*first, 10) {
		first = 2000 + rand.IntN(1000)
	}
	return strconv.Itoa(first)
}
