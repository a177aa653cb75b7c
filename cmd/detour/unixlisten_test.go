//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/behind"
	"github.com/detour-relay/detour/key"
)

// The process that takes over goes on with the unix socket: there is no moment in which
// nobody answers, and only the last one takes it away.
func TestTakeoverOfAUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "u") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "relay.sock")
	s := startService(t, "--listen", "unix:"+path, "--access-everyone", "--drain", "100ms")
	s.wantNotice(t, `^READY=1$`)
	login := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		conn, _, err := client.Login(ctx, client.Config{URL: "https://127.0.0.1/derp", Key: key.NewPrivate(), InsecureSkipVerify: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, "unix", path)
			if err == nil {
				_, err = io.WriteString(c, behind.Local)
			}
			return c, err
		}})
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := login(); err != nil {
		t.Fatal(err)
	}

	stop, came := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				came <- nil
				return
			default:
			}
			if err := login(); err != nil {
				came <- err
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
	close(stop)
	if err := <-came; err != nil {
		t.Errorf("a login failed: %v\n%s", err, s.log.text())
	}
	if err := login(); err != nil {
		t.Errorf("after the takeover: %v", err)
	}

	syscall.Kill(next, syscall.SIGTERM)
	s.wantNotice(t, `^STOPPING=1$`)
	s.wantLogEnd(t, `"msg":"relay stopped"`, 2)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}
