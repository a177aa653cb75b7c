//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/detour-relay/detour/internal/control"
)

// A terminal runs a command, and draws what it says.
type terminal struct {
	cmd    *exec.Cmd
	master *os.File
	slave  *os.File
	before *term.State
	ended  chan error
	drawn  chan struct{} // closed when the master says no more

	mu     sync.Mutex
	screen *vt.Emulator  // guarded by mu
	raw    bytes.Buffer  // guarded by mu: all that came
	more   chan struct{} // guarded by mu: closed when something has come
}

// startTop runs "detour top" in a pseudo terminal of a size.
func startTop(t *testing.T, width, height int, env []string, args ...string) *terminal {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	tt := &terminal{master: master, slave: slave, ended: make(chan error, 1), drawn: make(chan struct{}), screen: vt.NewEmulator(width, height), more: make(chan struct{})}
	tt.resize(t, width, height)
	if tt.before, err = term.GetState(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	tt.cmd = exec.Command("detour", append([]string{"top"}, args...)...)
	tt.cmd.Env = append(append(os.Environ(), "TERM=xterm-256color", "LC_ALL=C.UTF-8"), env...)
	tt.cmd.Stdin, tt.cmd.Stdout, tt.cmd.Stderr = slave, slave, slave
	tt.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := tt.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { tt.ended <- tt.cmd.Wait() }()
	go tt.draw()
	replies := make(chan struct{})
	go func() { // what a terminal answers
		defer close(replies)
		buffer := make([]byte, 1024)
		for {
			n, err := tt.screen.Read(buffer)
			if err != nil {
				return
			}
			master.Write(buffer[:n])
		}
	}()
	t.Cleanup(func() {
		tt.cmd.Process.Kill()
		slave.Close()
		master.Close()
		<-tt.drawn
		tt.screen.InputPipe().(io.Closer).Close() // ends Read; Close of the screen would race with it
		<-replies
	})
	return tt
}

func (tt *terminal) draw() {
	defer close(tt.drawn)
	buffer := make([]byte, 64<<10)
	for {
		n, err := tt.master.Read(buffer)
		if err != nil {
			return
		}
		tt.mu.Lock()
		tt.screen.Write(buffer[:n])
		tt.raw.Write(buffer[:n])
		close(tt.more)
		tt.more = make(chan struct{})
		tt.mu.Unlock()
	}
}

func (tt *terminal) resize(t *testing.T, width, height int) {
	t.Helper()
	tt.mu.Lock()
	tt.screen.Resize(width, height)
	tt.mu.Unlock()
	if err := pty.Setsize(tt.master, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)}); err != nil {
		t.Fatal(err)
	}
}

func (tt *terminal) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := tt.master.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// until waits for something to stand on the screen, and returns all of it.
func (tt *terminal) until(t *testing.T, want string) string {
	t.Helper()
	match, late := regexp.MustCompile(want), time.After(time.Minute)
	for {
		tt.mu.Lock()
		text, more := tt.screen.String(), tt.more
		tt.mu.Unlock()
		if match.MatchString(text) {
			return text
		}
		select {
		case <-more:
		case err := <-tt.ended:
			t.Fatalf("it ended with %v before %q:\n%s", err, want, text)
		case <-late:
			t.Fatalf("no %q:\n%s", want, text)
		}
	}
}

// wantRestored waits for the end, after which the terminal is as it was.
func (tt *terminal) wantRestored(t *testing.T) {
	t.Helper()
	select {
	case err := <-tt.ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	if after, err := term.GetState(int(tt.slave.Fd())); err != nil || !reflect.DeepEqual(after, tt.before) {
		t.Errorf("the terminal has other modes than before: %+v, want %+v, %v", after, tt.before, err)
	}
	late := time.After(time.Minute)
	for {
		tt.mu.Lock()
		other, more := tt.screen.IsAltScreen() || tt.screen.CursorHidden(), tt.more
		tt.mu.Unlock()
		if !other {
			return
		}
		select {
		case <-more:
		case <-late:
			t.Fatal("the other screen, or no cursor, is left")
		}
	}
}

// The screen shows who is busy, one of them with all there is, and sorts, filters, fits
// into its window, pauses and gives the terminal back.
func TestTopInATerminal(t *testing.T) {
	r, _, keys := inhabited(t)
	tt := startTop(t, 140, 24, nil, "--admin-socket", r.State().Socket, "--every", "500ms")
	tt.until(t, `(?s)3 connections of 3 keys.*KEY.*IN/S.*`+keys[2][8:20]+`.* 2\.9 KB`)
	tt.press(t, "?")
	tt.until(t, `close the connections of the key`)
	tt.press(t, "?/app=<b>bold</b>\r")
	tt.until(t, `(?s)only app=<b>bold</b>: 1 connection.*`+keys[1][8:20])
	tt.press(t, "\r")
	tt.until(t, `(?s)key +`+keys[1]+`.*app +<b>bold</b>.*esc back`)
	tt.press(t, "\x1b")
	tt.until(t, `only app=`)
	tt.press(t, "\x1b")
	if text := tt.until(t, keys[0][8:20]); strings.Contains(text, "only app") {
		t.Errorf("the filter is still there:\n%s", text)
	}
	tt.press(t, " ")
	tt.until(t, `paused`)
	tt.press(t, " ")
	tt.resize(t, 44, 9)
	text := tt.until(t, `(?m)^KEY +IN/S +OUT/S +IN +OUT *$`)
	for _, line := range strings.Split(text, "\n") {
		if len([]rune(line)) > 44 {
			t.Errorf("a line is too long: %q", line)
		}
	}
	tt.press(t, "q")
	tt.wantRestored(t)
}

// What changes the relay is asked before, and is the order of the commands.
func TestTopClosesAndBans(t *testing.T) {
	r, _, keys := inhabited(t)
	tt := startTop(t, 120, 24, nil, "--admin-socket", r.State().Socket, "--every", "500ms", "--key", keys[0])
	tt.until(t, keys[0][8:20])
	tt.press(t, "c")
	tt.until(t, `Close the connections of `+keys[0][8:20])
	tt.press(t, "n")
	tt.until(t, `nothing was done`)
	tt.press(t, "b")
	tt.until(t, `Ban `+keys[0][8:20])
	tt.press(t, "h")
	tt.until(t, `is banned for 1h, and 1 connection cut`)
	tt.until(t, `(?m)^nobody *$`)
	out, _ := r.on(t, 0, "access", "list", "--state", "banned")
	wantMatch(t, out, keys[0])
	tt.press(t, "\x1b")
	tt.until(t, keys[1][8:20])
	tt.press(t, "\x03")
	tt.wantRestored(t)
}

// An address only tells; without colour there is none.
func TestTopAtAnAddress(t *testing.T) {
	_, admin, keys := inhabited(t)
	tt := startTop(t, 120, 24, []string{"NO_COLOR=1"}, admin, "--sort", "app")
	tt.until(t, keys[0][8:20])
	tt.press(t, "b")
	tt.until(t, `this address only tells`)
	tt.press(t, "q")
	tt.wantRestored(t)
	tt.mu.Lock()
	defer tt.mu.Unlock()
	if at := regexp.MustCompile(`\x1b\[(\d+;)*[34]\d[;m]`).FindIndex(tt.raw.Bytes()); at != nil {
		t.Errorf("there is a colour: %q", tt.raw.Bytes()[at[0]:at[1]])
	}
}

// A signal ends it as a key does, and so does the end of the terminal.
func TestTopEndsByASignal(t *testing.T) {
	r, _, keys := inhabited(t)
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		tt := startTop(t, 120, 24, nil, "--admin-socket", r.State().Socket)
		tt.until(t, keys[0][8:20])
		tt.cmd.Process.Signal(signal)
		tt.wantRestored(t)
	}
	tt := startTop(t, 120, 24, nil, "--admin-socket", r.State().Socket)
	tt.until(t, keys[0][8:20])
	tt.slave.Close()
	tt.master.Close() // who sits there has gone
	select {
	case <-tt.ended:
	case <-time.After(time.Minute):
		t.Error("it goes on without its terminal")
	}
}

// A relay that ends is told of, and asked again.
func TestTopWaitsForItsRelay(t *testing.T) {
	r, _, keys := inhabited(t)
	tt := startTop(t, 120, 24, nil, "--admin-socket", r.State().Socket)
	tt.until(t, keys[0][8:20])
	r.Stop()
	tt.until(t, `the relay says nothing, it is asked again every second: no answer`)
	tt.press(t, "q")
	tt.wantRestored(t)
}

// Without a terminal there is one sample, or a line for each.
func TestTopWithoutATerminal(t *testing.T) {
	r, admin, keys := inhabited(t)
	socket := r.State().Socket
	_, talk := command(t, 2, "top", "--admin-socket", socket)
	wantMatch(t, talk, `this is no terminal: --once prints one sample, --json a line for each`)
	out, _ := command(t, 0, "top", "--once", "--sort=-in", "--limit", "1", "--admin-socket", socket)
	wantMatch(t, out, `^3 connections of 3 keys; 0 B/s in, 0 B/s out, 0\.0 packets/s dropped, 0 queued\nKEY +IN/S .*\n`+keys[2]+` .*\n$`)
	out, _ = command(t, 0, "top", "--once", "--json", "--label", "", "--app", "=cmd()", admin)
	var s control.Sample
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Matched != 1 || s.Conns != 3 || s.Busiest[0].Key.String() != keys[0] {
		t.Errorf("%s: %v", out, err)
	}
	for _, wrong := range [][]string{
		{"--every", "1ms", "want a time from 500ms"}, {"--limit", "0", "want a number from 1"}, {"--sort", "x", "choose key, in/s"}, {"--network", "x", "want a network"}, {"--insecure", "", "without a URL"},
		{admin + "/debug/clients/", "", "is a derper, which tells nothing of rates"},
	} {
		args := []string{"top", "--once", wrong[0]}
		if wrong[1] != "" {
			args = append(args, wrong[1])
		}
		_, talk := command(t, 2, args...)
		wantMatch(t, talk, wrong[2])
	}
}
