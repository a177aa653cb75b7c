package history

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// fullDisk is set in the process that has a small disk of its own.
const fullDisk = "DETOUR_TEST_FULL_DISK"

// A disk that is full from the start, or full of other things than the history, disturbs
// nobody. It is a file system in memory, in a mount namespace of a process of its own.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv(fullDisk); dir != "" {
		onFullDisk(t, dir)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), fullDisk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFullDisk")) {
		t.Errorf("%v: %s", err, out)
	}
}

func onFullDisk(t *testing.T, dir string) {
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	other := filepath.Join(dir, "other")
	fill(t, other)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, filepath.Join(dir, "history.db"))
		for range 3 {
			p.relay(1)
			p.minute()
		}
		if s := p.State(); !strings.Contains(s.Error, "no space left on device: make room there") || s.Errors != 3 || p.log.Lines("level=WARN") != 1 {
			t.Errorf("%+v: %s", s, p.log.String())
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 2 { // the other file, and the lock
			t.Errorf("%v is left behind, %v", entries, err)
		}
		if err := os.Remove(other); err != nil {
			t.Fatal(err)
		}
		p.relay(1)
		p.minute()
		if s := p.State(); s.Error != "" {
			t.Errorf("with room: %+v", s)
		}
		fill(t, other) // now it is there, and needs no room
		p.relay(1)
		p.minute()
		if s := p.State(); s.Error != "" || s.Errors != 3 {
			t.Errorf("full again: %+v", s)
		}
		p.kill()
		p = start(t, filepath.Join(dir, "history.db"))
		if got := p.packets(t, 5*60e9, 60e9); got != "1 1 1 1 1" {
			t.Error(got)
		}
		p.end()
	})
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	f.Close()
}
