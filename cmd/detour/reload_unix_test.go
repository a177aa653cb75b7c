//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/takeover"
)

// reloader is a front end that reads its settings from a file, named by its argument,
// and reads it again on SIGHUP.
func reloader() {
	if err := reloadFrom(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func reloadFrom(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	handover, err := takeover.New()
	if err != nil {
		return err
	}
	c, err := readConfig(file)
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	load := func() (config.Config, error) { return readConfig(file) }
	d, err := daemon.Open(c, daemon.Options{Logger: log, Takeover: handover, Load: load})
	if err != nil {
		return err
	}
	go func() {
		for range hangup {
			_, err := d.ReloadNow()
			log.Info("reloaded", "error", err)
		}
	}()
	return d.Run(ctx)
}

func readConfig(file string) (config.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return config.Config{}, err
	}
	return config.Decode(text)
}

// What cannot change in a running relay changes by another process that takes over:
// it listens where the settings say now, and the one before ends.
func TestReloadByTakeover(t *testing.T) {
	s := &service{dir: t.TempDir(), ended: make(chan error, 1)}
	file := filepath.Join(s.dir, "config.json")
	c := config.Defaults()
	c.Listen, c.STUN, c.TLS.Mode, c.StateDir, c.Drain = "127.0.0.1:0", config.STUNOff, config.TLSOff, filepath.Join(s.dir, "state"), config.Duration(time.Minute)
	writeConfig(t, file, c)
	s.cmd = exec.Command("reloader", file)
	s.log.open(t, s.cmd)
	s.start(t)
	s.url = "http://" + s.wantLog(t, `msg="relay started" listen=(\S+)`)[1] + "/derp"
	held := s.dial(t).conn

	// Another address, and one thing that cannot be: the old process goes on.
	bad := c
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad.Listen = taken.Addr().String()
	writeConfig(t, file, bad)
	s.hangUp(t, `msg=reloaded error="restart needed for listen: no other process could take over: .* exit status \d+: listen: listen tcp `+taken.Addr().String()+`: .*address already in use`)

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Listen = free.Addr().String()
	free.Close()
	writeConfig(t, file, c)
	s.hangUp(t, `msg="another process has taken over"`)
	s.wantLog(t, `msg="reload: another process has taken a setting over" setting=listen old=\S+ new=`+c.Listen)
	pid := s.wantLog(t, `msg="relay started" listen=`+c.Listen+`.* pid=(\d+)`)[1]
	var next int
	fmt.Sscan(pid, &next)

	// As long as the process before has a peer, there is no third.
	c.Listen = "127.0.0.1:0"
	writeConfig(t, file, c)
	syscall.Kill(next, syscall.SIGHUP)
	s.wantLog(t, `no other process could take over: the process before this one still drains: try again`)
	c.Listen = free.Addr().String()
	held.Close()
	if err := <-s.ended; err != nil {
		t.Errorf("the process before ended with %v", err)
	}
	s.url = "http://" + c.Listen + "/derp"
	s.dial(t).conn.Close()
	syscall.Kill(next, syscall.SIGTERM)
	s.wantLogEnd(t, `msg="relay stopped"`, 2)
}

func (s *service) hangUp(t *testing.T, want string) {
	t.Helper()
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.wantLog(t, want)
}

func writeConfig(t *testing.T, file string, c config.Config) {
	t.Helper()
	text, err := c.Encode()
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A reload that needs another process hands it the settings; after SIGUSR2 the next
// process reads its file itself, whatever was handed over before.
func TestTheFileIsReadAnewAfterAnUpgrade(t *testing.T) {
	s := &service{dir: t.TempDir(), ended: make(chan error, 1)}
	file := filepath.Join(s.dir, "relay.yaml")
	write := func(more string) {
		t.Helper()
		text := fmt.Sprintf("listen: 127.0.0.1:0\nstun: off\ntls: {mode: off}\nself-check: off\ndrain: 0s\nlog: {format: json}\nstate-dir: %s/state\n%s\n", s.dir, more)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("admin-socket: off")
	s.cmd = exec.Command("detour", "relay", "--config", file)
	s.log.open(t, s.cmd)
	s.start(t)
	started := `"msg":"relay started".*"pid":(\d+)`
	s.wantLog(t, started)

	write("admin-socket: off\nadmin: 127.0.0.1:0")
	s.hangUp(t, `"msg":"another process has taken over"`)
	second := s.wantLog(t, `(?s)`+started+`.*`+started)[2]
	if err := <-s.ended; err != nil {
		t.Errorf("the process before ended with %v", err)
	}

	write("admin-socket: " + filepath.Join(s.dir, "by-the-file.sock"))
	var pid int
	fmt.Sscan(second, &pid)
	syscall.Kill(pid, syscall.SIGUSR2)
	s.wantLog(t, `"msg":"commands can change the relay","socket":"[^"]*by-the-file.sock"`)
	third := s.wantLog(t, `(?s)`+started+`.*`+started+`.*`+started)[3]
	fmt.Sscan(third, &pid)
	syscall.Kill(pid, syscall.SIGTERM)
	s.wantLogEnd(t, `"msg":"relay stopped"`, 3)
}
