//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/tailnet"
)

// startCoord runs a coordinator as under systemd.
func startCoord(t *testing.T, args ...string) *service {
	t.Helper()
	dir, err := os.MkdirTemp("", "c") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &service{dir: dir, ended: make(chan error, 1)}
	s.launch(t, append([]string{"coord", "--listen", "127.0.0.1:0"}, args...)...)
	s.wantNotice(t, `^READY=1$`)
	s.url = "https://" + s.wantLog(t, `"msg":"coordinator started","listen":"([^"]+)"`)[1]
	return s
}

// startKeptCoord runs one that keeps its state.
func startKeptCoord(t *testing.T) *service {
	t.Helper()
	return startCoord(t, "--tls", "self", "--hostname", "127.0.0.1", "--state-dir", t.TempDir(), "--admin-socket", shortSocket(t))
}

func shortSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "admin.sock")
}

func (s *service) socket(t *testing.T) string {
	t.Helper()
	return s.wantLog(t, `"admin_socket":"([^"]+)"`)[1]
}

// comeBack is how long a member may take: who finds its coordinator down asks again within
// 30 s, and within a minute if it is down still.
const comeBack = 2 * time.Minute

// joined returns a member of a tailnet of the coordinator that is connected, and how to
// wait until it is so again.
func (s *service) joined(t *testing.T, name string) (m *tailnet.Member, awaitConnected func()) {
	t.Helper()
	invite, _ := command(t, 0, "net", "invite", "home", "--admin-socket", s.socket(t))
	events := make(chan tailnet.Event, 100)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	m, err := tailnet.Open(ctx, tailnet.Config{
		StateFile: filepath.Join(t.TempDir(), "member.json"), Name: name, Invite: invite, OnEvent: func(e tailnet.Event) { events <- e },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	await := func() {
		t.Helper()
		late := time.After(comeBack)
		for {
			select {
			case e := <-events:
				if e.Type == tailnet.IsConnected {
					return
				}
			case <-late:
				t.Fatalf("%s is not connected: %+v\n%s", name, m.State(), s.log.text())
			}
		}
	}
	await()
	return m, await
}

// callers ask all the time, each time over a connection of its own.
type callers struct {
	comers
}

func (s *service) callAllTheTime(t *testing.T) *callers {
	t.Helper()
	a := new(callers)
	a.ctx, a.cancel = context.WithCancel(context.Background())
	web := &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for range 2 {
		a.all.Go(func() {
			for a.ctx.Err() == nil {
				if err := askOnce(a.ctx, web, s.url+"/v1/challenge"); err != nil && a.ctx.Err() == nil {
					a.failed.CompareAndSwap(nil, &err)
					return
				}
				a.came.Add(1)
				time.Sleep(10 * time.Millisecond) // an address may ask so often
			}
		})
	}
	t.Cleanup(a.stop)
	return a
}

func askOnce(ctx context.Context, web *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	answer, err := web.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusTooManyRequests {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return err
}

// A coordinator is replaced while others ask all the time: none is refused, its members
// come to the new process, which has all that the old one had, and the service manager
// hears of it.
func TestCoordinatorTakeover(t *testing.T) {
	s := startKeptCoord(t)
	command(t, 0, "net", "create", "home", "--admin-socket", s.socket(t))
	_, awaitConnected := s.joined(t, "anna")
	asking := s.callAllTheTime(t)
	asking.wantMore(t)

	s.cmd.Process.Signal(syscall.SIGUSR2)
	next, _ := strconv.Atoi(s.wantNotice(t, `^MAINPID=(\d+)\nREADY=1$`)[1])
	t.Cleanup(func() { syscall.Kill(next, syscall.SIGKILL) })
	if err := <-s.ended; err != nil {
		t.Errorf("the old process ended with %v", err)
	}
	awaitConnected()
	asking.wantMore(t)
	asking.stop()
	if failed := asking.failed.Load(); failed != nil {
		t.Errorf("somebody was refused: %v\n%s", *failed, s.log.text())
	}
	if out, _ := command(t, 0, "net", "members", "home", "--admin-socket", s.socket(t)); !strings.Contains(out, "anna ") {
		t.Errorf("the new process has other members: %s", out)
	}
	syscall.Kill(next, syscall.SIGTERM)
	s.wantNotice(t, `^STOPPING=1$`)
	s.wantLogEnd(t, `"msg":"coordinator stopped"`, 2)
}

// What is only in memory is not handed over: the process goes on.
func TestCoordinatorInMemoryStays(t *testing.T) {
	s := startCoord(t, "--dev", "--admin-socket", shortSocket(t))
	s.cmd.Process.Signal(syscall.SIGUSR2)
	s.wantLog(t, `"msg":"SIGUSR2: the new process did not take over; this one goes on","reason":"the state is in the memory of this process, and would be lost`)
	command(t, 0, "net", "create", "home", "--admin-socket", s.socket(t))
	s.cmd.Process.Signal(syscall.SIGHUP)
	s.wantNotice(t, `^RELOADING=1\nMONOTONIC_USEC=\d+\n$`)
	s.wantNotice(t, `^READY=1$`)
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.wantNotice(t, `^STOPPING=1$`)
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
}

// Members are told to move before a coordinator ends, and it does not wait for them; what
// they are is there when it is back at its address.
func TestCoordinatorRestartsUnderItsMembers(t *testing.T) {
	s := startKeptCoord(t)
	command(t, 0, "net", "create", "home", "--admin-socket", s.socket(t))
	var all sync.WaitGroup
	back := make(chan struct{})
	for _, name := range []string{"anna", "bob"} {
		_, await := s.joined(t, name)
		all.Go(func() {
			<-back
			await()
		})
	}
	args := append([]string(nil), s.cmd.Args[1:]...)
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.wantLogEnd(t, `"msg":"coordinator stopped"`, 1)
	again := &service{dir: s.dir + "/again", ended: make(chan error, 1)}
	if err := os.Mkdir(again.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i, arg := range args {
		if arg == "127.0.0.1:0" {
			args[i] = strings.TrimPrefix(s.url, "https://")
		}
	}
	again.launch(t, args...)
	again.wantNotice(t, `^READY=1$`)
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	close(back)
	all.Wait()
	if out, _ := command(t, 0, "net", "members", "home", "--admin-socket", again.socket(t)); !strings.Contains(out, "anna ") || !strings.Contains(out, "bob ") {
		t.Errorf("there are other members: %s", out)
	}
}
