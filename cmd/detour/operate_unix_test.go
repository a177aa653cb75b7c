//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/key"
)

// The socket is there all the time while one process takes over from another: who
// asks is answered by one of them, and what was ordered before is known afterwards.
func TestSocketSurvivesTakeover(t *testing.T) {
	s := startService(t, "--drain", "0", "--access-managed", "--access-everyone")
	s.wantNotice(t, `^READY=1$`)
	path := filepath.Join(s.dir, "state", control.SocketName)
	banned := key.NewPrivate().Public().String()
	command(t, 0, "access", "ban", banned, "--admin-socket", path)

	client := control.OverSocket(path)
	defer client.Close()
	ended, asked := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			fresh := control.OverSocket(path) // a connection each
			_, err := fresh.Version(t.Context())
			fresh.Close()
			select {
			case <-ended:
				if n < 3 {
					t.Errorf("asked %d times only", n)
				}
				asked <- err
				return
			default:
			}
			if err != nil {
				asked <- err
				return
			}
		}
	}()
	s.cmd.Process.Signal(syscall.SIGUSR2)
	notice := s.wantNotice(t, `^MAINPID=(\d+)\nREADY=1$`)
	next, _ := strconv.Atoi(notice[1])
	t.Cleanup(func() { syscall.Kill(next, syscall.SIGKILL) })
	if err := <-s.ended; err != nil {
		t.Errorf("the old process ended with %v", err)
	}
	close(ended)
	if err := <-asked; err != nil {
		t.Errorf("meanwhile: %v", err)
	}
	if v, err := client.Version(t.Context()); err != nil || v.PID != next {
		t.Errorf("%+v, %v; want the process %d", v, err, next)
	}
	out, _ := command(t, 0, "access", "list", "--admin-socket", path)
	wantMatch(t, out, `(?m)^`+banned+` +banned `)
	left, err := filepath.Glob(filepath.Join(s.dir, "state", ".adm*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
	syscall.Kill(next, syscall.SIGTERM)
	s.wantNotice(t, `^STOPPING=1$`)
	s.wantLogEnd(t, `"msg":"relay stopped"`, 2)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// A reload that needs another process is answered all the same, by the one that ends.
func TestReloadByTakeoverIsAnswered(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "relay.yaml")
	text := "drain: 0s\naccess: {everyone: true}\n"
	write(t, file, text)
	s := startService(t, "--config", file)
	s.wantNotice(t, `^READY=1$`)
	path := filepath.Join(s.dir, "state", control.SocketName)
	write(t, file, text+"pprof: 127.0.0.1:0\n")
	out, _ := command(t, 0, "reload", "--admin-socket", path)
	wantMatch(t, out, `^pprof: (""|none|off|-)? ?-> 127\.0\.0\.1:0\n$`)
	if err := <-s.ended; err != nil {
		t.Errorf("the old process ended with %v", err)
	}
	client := control.OverSocket(path)
	defer client.Close()
	v, err := client.Version(t.Context())
	if err != nil || v.PID == s.cmd.Process.Pid {
		t.Fatalf("%+v, %v", v, err)
	}
	syscall.Kill(v.PID, syscall.SIGTERM)
	s.wantLogEnd(t, `"msg":"relay stopped"`, 2)
}

// Another user of the machine cannot open the socket, and is told so.
func TestOtherUsersCannotOpenTheSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can be somebody else: the mode of the socket is what is tested")
	}
	r, _ := operated(t, nil)
	path := r.State().Socket
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if os.Geteuid() != 0 {
		return
	}
	dir := filepath.Dir(path)
	for _, d := range []string{dir, filepath.Dir(dir)} { // so that only the socket is in the way
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := exec.LookPath("detour")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(filepath.Dir(dir), "detour") // where everybody gets to
	text, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(copied, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(copied, "reload", "--admin-socket", path)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var talk bytes.Buffer
	cmd.Stderr = &talk
	cmd.Run()
	if cmd.ProcessState.ExitCode() != 3 || !strings.Contains(talk.String(), "may not read "+path+" (") || !strings.Contains(talk.String(), "with sudo") {
		t.Errorf("status %d: %s", cmd.ProcessState.ExitCode(), talk.String())
	}
}
