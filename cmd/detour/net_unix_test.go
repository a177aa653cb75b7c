//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/tailnet"
)

// Members are shown and changed while they are connected.
func TestNetMembers(t *testing.T) {
	s := startKeptCoord(t)
	at := []string{"--admin-socket", s.socket(t)}
	ask := func(status int, args ...string) (out, talk string) {
		t.Helper()
		return command(t, status, append(append([]string{"net"}, args...), at...)...)
	}
	ask(0, "create", "home")
	anna, _ := s.joined(t, "anna")
	bob, _ := s.joined(t, "bob")

	out, _ := ask(0, "members", "home")
	wantMatch(t, out, `(?m)^NAME +ADDRESSES +HOME +HOME SINCE +ONLINE +VERSION +NOTE$`)
	wantMatch(t, out, `(?m)^anna +100\.64\.0\.1,fd[0-9a-f:]+ +- +- +yes `)
	out, _ = ask(0, "members", "home", "--json")
	var all []coordapi.Member
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 2 || all[1].Key != bob.Self().Key {
		t.Fatalf("%v: %s", err, out)
	}

	out, _ = ask(0, "rename", "home", "bob", "robert")
	wantMatch(t, out, `^bob: renamed to robert\n$`)
	_, talk := ask(1, "rename", "home", "robert", "anna")
	wantMatch(t, talk, `anna`)
	eventually(t, func() bool { _, known := anna.PeerNamed("robert"); return known })

	out, _ = ask(0, "disable", "home", bob.Self().Key.String())
	wantMatch(t, out, `: disabled\n$`)
	eventually(t, func() bool { return len(anna.Peers()) == 0 && bob.State().Phase == tailnet.Removed })
	out, _ = ask(0, "members", "home")
	wantMatch(t, out, `(?m)^robert .* disabled$`)
	ask(0, "enable", "home", "robert")
	eventually(t, func() bool { return len(anna.Peers()) == 1 })

	out, _ = ask(0, "remove", "home", "robert")
	wantMatch(t, out, `^removed robert\n$`)
	eventually(t, func() bool { return len(anna.Peers()) == 0 })
	out, _ = ask(0, "delete", "home", "--yes")
	wantMatch(t, out, `^deleted home with 1 member\n$`)
	eventually(t, func() bool { return anna.State().Phase == tailnet.Removed })
}

// eventually waits for something that must happen.
func eventually(t *testing.T, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
	}
}

// Of three coordinators one is killed, and members and operators go on; with two killed
// the third still answers what it knows, and says that it is no more than that.
func TestThreeCoordinators(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("0f", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 6)
	var cluster, contacts []string
	for i, name := range []string{"a", "b", "c"} {
		cluster = append(cluster, fmt.Sprintf("%s=127.0.0.1:%d", name, ports[i]))
		contacts = append(contacts, fmt.Sprintf("http://127.0.0.1:%d", ports[3+i]))
	}
	all := make([]*service, 3)
	sockets := make([]string, 3)
	for i, name := range []string{"a", "b", "c"} {
		dir, err := os.MkdirTemp("", "c") // sockets have short paths
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		sockets[i] = filepath.Join(dir, "admin.sock")
		all[i] = &service{dir: dir, ended: make(chan error, 1)}
		all[i].launch(t, "coord", "--tls", "off", "--listen", strings.TrimPrefix(contacts[i], "http://"), "--state-dir", filepath.Join(dir, "state"),
			"--admin-socket", sockets[i], "--admin", "127.0.0.1:0", "--name", name, "--cluster", strings.Join(cluster, ","), "--cluster-secret", secret, "--contact", strings.Join(contacts, ","))
	}
	asked := func(i int, args ...string) bool {
		return run(append(append([]string{"net"}, args...), "--admin-socket", sockets[i]), strings.NewReader(""), &strings.Builder{}, &strings.Builder{}) == 0
	}
	for i := range all {
		eventually(t, func() bool { return asked(i, "status") })
	}
	eventually(t, func() bool { return asked(0, "create", "home") })
	eventually(t, func() bool { return asked(2, "show", "home") })
	anna, awaitConnected := all[1].joined(t, "anna")

	first := 0
	for i, contact := range contacts {
		if anna.State().Coordinator == contact {
			first = i
		}
	}
	syscall.Kill(all[first].cmd.Process.Pid, syscall.SIGKILL)
	awaitConnected()
	second, third := (first+1)%3, (first+2)%3
	eventually(t, func() bool { return asked(second, "create", "office") })

	syscall.Kill(all[second].cmd.Process.Pid, syscall.SIGKILL)
	eventually(t, func() bool { return !asked(third, "create", "more") })
	eventually(t, func() bool {
		out := new(strings.Builder)
		run([]string{"net", "status", "--admin-socket", sockets[third]}, strings.NewReader(""), out, out)
		return regexp.MustCompile(`(?m)^ready +yes, serving$`).MatchString(out.String()) && strings.Contains(out.String(), "cannot be written to since")
	})
	if !asked(third, "members", "home") {
		t.Error("it does not say what it knows")
	}
}

// freePorts are those that are free now.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close() // the next one gets another
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
