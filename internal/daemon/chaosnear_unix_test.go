//go:build unix

package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/logtest"
	"github.com/detour-relay/detour/internal/takeover"
)

// chaosSettings is the variable with the file of settings that makes this program a
// process of the near relay.
const chaosSettings = "DETOUR_CHAOS_SETTINGS"

// A chaosWord is what such a process says, one a line.
type chaosWord struct {
	PID     int
	Serving *place    // it serves
	End     *chaosEnd // it has stopped
}

// A chaosNear is the near relay, as the test sees it.
type chaosNear struct {
	place                 // set once
	at     place          // of the process that serves: the same
	pid    int            // of that process
	words  chan chaosWord // closed when no process is left
	first  chan error     // gets how the first process has ended
	stderr logtest.Log    // of all processes
	ends   []chaosEnd     // of those that have ended
	late   int            // takeovers that were asked for before the process before had exited
}

// stillDrains is logged by a process that is asked for a takeover before the one before has
// exited, which says its last word a little earlier.
const stillDrains = "the process before this one still drains"

func startNear(t *testing.T, settings config.Config) *chaosNear {
	t.Helper()
	text, err := settings.Encode()
	file := filepath.Join(t.TempDir(), "settings.json")
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	n := &chaosNear{words: make(chan chaosWord), first: make(chan error, 1)}
	if err == nil {
		err = n.launch(t, file)
	}
	if err != nil {
		t.Fatal(err)
	}
	n.await(t, "the near relay serves", func() bool { return n.pid != 0 })
	n.place = n.at
	return n
}

// launch starts the first process. Those that take over write to the same pipes, and are
// in its group.
func (n *chaosNear) launch(t *testing.T, file string) error {
	stdout, said, err1 := os.Pipe()
	stderr, logged, err2 := os.Pipe()
	alive, here, err3 := os.Pipe()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), chaosSettings+"="+file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = alive, said, logged
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	alive.Close()
	said.Close()
	logged.Close()
	t.Cleanup(func() {
		here.Close()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		for range n.words { // until it is closed
		}
	})
	go func() { n.first <- cmd.Wait() }()
	go func() {
		defer stderr.Close()
		io.Copy(&n.stderr, stderr)
	}()
	go n.listen(stdout)
	return nil
}

func (n *chaosNear) listen(stdout io.ReadCloser) {
	defer close(n.words)
	defer stdout.Close()
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var w chaosWord
		if json.Unmarshal(lines.Bytes(), &w) == nil { // a test binary says PASS and the like, too
			n.words <- w
		}
	}
}

// await listens to the processes until it is so.
func (n *chaosNear) await(t *testing.T, what string, so func() bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := time.After(timeout); !so(); {
		select {
		case <-look.C:
		case w, more := <-n.words:
			if !more {
				t.Fatalf("never: %s: no process is left\n%s", what, n.stderr.String())
			}
			n.hear(w)
		case <-deadline:
			t.Fatalf("never: %s\n%s", what, n.stderr.String())
		}
	}
}

func (n *chaosNear) hear(w chaosWord) {
	if w.Serving != nil {
		n.pid, n.at = w.PID, *w.Serving
	}
	if w.End != nil {
		n.ends = append(n.ends, *w.End)
	}
}

// takeOver has another process take over, and waits until the one before has ended.
func (n *chaosNear) takeOver(t *testing.T) {
	t.Helper()
	before, ended := n.pid, len(n.ends)
	syscall.Kill(before, syscall.SIGUSR2)
	n.await(t, "the next process serves, and the one before has ended", func() bool {
		if late := n.stderr.Lines(stillDrains); late > n.late {
			n.late = late
			syscall.Kill(before, syscall.SIGUSR2)
		}
		return n.pid != before && len(n.ends) > ended
	})
	if n.at != n.place {
		t.Errorf("the near relay was %+v and is %+v", n.place, n.at)
	}
}

// end has the last process end, and returns what all have said in the end.
func (n *chaosNear) end(t *testing.T) []chaosEnd {
	t.Helper()
	all := len(n.ends) + 1
	syscall.Kill(n.pid, syscall.SIGTERM)
	n.await(t, "the last process has ended", func() bool { return len(n.ends) == all })
	if w, more := <-n.words; more {
		t.Errorf("one more process says %+v", w)
	}
	if err := <-n.first; err != nil {
		t.Error(err)
	}
	if text := n.stderr.String(); n.stderr.Lines() > n.late {
		t.Errorf("the processes have said:\n%s", text)
	}
	return n.ends
}

// nearProcess is the near relay until another process has taken over, or it is told to
// end: then it waits until all its peers have left.
func nearProcess(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	settings, err := config.Decode(text)
	if err != nil {
		return err
	}
	handover, err := takeover.New()
	if err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, os.Stdin) // ends with the test, however that ends
		os.Exit(1)
	}()
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	running, polls := goleak.IgnoreCurrent(), len(descriptorsOf("anon_inode:[event"))
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	d, err := Open(settings, Options{Logger: log, Takeover: handover})
	if err != nil {
		return err
	}
	if err := serveNear(d, term); err != nil {
		return err
	}
	end := endOf(d)
	end.Wrong = append(end.Wrong, leftovers(running, polls)...)
	return say(chaosWord{End: &end})
}

// serveNear runs the relay, and says so.
func serveNear(d *Daemon, term <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() {
		select {
		case <-d.started:
			at := placeOf(d)
			say(chaosWord{Serving: &at})
		case <-ctx.Done():
		}
	})
	others.Go(func() {
		select {
		case <-term:
			awaitNobody(d)
			cancel()
		case <-ctx.Done():
		}
	})
	return d.Run(ctx)
}

// awaitNobody returns when no peer is left, and nothing of any; or it says what is.
func awaitNobody(d *Daemon) {
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if isEmpty(d.relay.Survey()) && len(d.relay.Check()) == 0 {
			return
		}
	}
	fmt.Fprintf(os.Stderr, "something is left of peers: %v %+v\n", d.relay.Check(), d.relay.Survey())
}

// leftovers is what a process still has that has stopped its relay.
func leftovers(running goleak.Option, polls int) (wrong []string) {
	waits := goleak.IgnoreAnyFunction("github.com/cloudflare/tableflip.(*child).waitExit") // for the next process
	if err := goleak.Find(running, waits); err != nil {
		wrong = append(wrong, err.Error())
	}
	sockets := descriptorsOf("socket:")
	for end := time.Now().Add(timeout); len(sockets) > 0 && time.Now().Before(end); sockets = descriptorsOf("socket:") {
		runtime.GC() // which closes what was to be handed over first, and was replaced
	}
	if len(sockets) > 0 {
		wrong = append(wrong, fmt.Sprintf("sockets are left: %s", sockets))
	}
	if now := descriptorsOf("anon_inode:[event"); len(now) > polls {
		wrong = append(wrong, fmt.Sprintf("polls are left, there were %d: %s", polls, now))
	}
	return wrong
}

// descriptorsOf returns what this process has open of a kind; nothing where nobody tells.
func descriptorsOf(kind string) (found []string) {
	files, _ := filepath.Glob("/proc/self/fd/*")
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil && strings.HasPrefix(to, kind) {
			found = append(found, to)
		}
	}
	return found
}

func say(w chaosWord) error {
	w.PID = os.Getpid()
	return json.NewEncoder(os.Stdout).Encode(w)
}
