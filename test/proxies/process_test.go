package proxies

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds what takes moments, on a loaded machine, too.
const patience = 2 * time.Minute

// A process is a program under test and what it has said.
type process struct {
	said  said
	ended chan struct{}
}

// start runs a program until the test ends, which fails if it ends before. Pdeathsig is
// about the thread that has started it, so one that lives as long as we do starts all.
func start(t *testing.T, dir, name string, args ...string) *process {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: the suite runs the real program (Debian: apt-get install %s)", err, name)
	}
	p := &process{ended: make(chan struct{})}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "NO_COLOR=1")
	cmd.Stdout, cmd.Stderr = &p.said, &p.said
	endWithUs(cmd)
	if err := started(cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(patience): // it would not end by itself
			cmd.Process.Kill()
			<-p.ended
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.said.text())
		}
	})
	return p
}

var starter = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for do := range work {
			do()
		}
	}()
	return work
})

// started starts a command from the one thread.
func started(cmd *exec.Cmd) error {
	done := make(chan error)
	starter() <- func() { done <- cmd.Start() }
	return <-done
}

// said keeps the end of what a program says.
type said struct {
	mu   sync.Mutex
	tail []byte
}

const mostSaid = 16 << 10

// Write implements io.Writer.
func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tail = append(s.tail, p...)
	if over := len(s.tail) - mostSaid; over > 0 {
		s.tail = bytes.Clone(s.tail[over:])
	}
	return len(p), nil
}

func (s *said) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(string(s.tail))
}

// detour runs one of our commands to its end.
func detour(t *testing.T, args ...string) (stdout string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if talk.Len() > 0 {
		t.Logf("detour %s: %s", strings.Join(args, " "), talk.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// until waits for what comes about by itself.
func until(t *testing.T, what string, p *process, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.ended:
			t.Fatalf("%s: the program has ended: %s", what, p.said.text())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
