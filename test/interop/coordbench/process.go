package coordbench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	startBudget = 2 * time.Minute
	stopBudget  = 10 * time.Second
)

// process is one of the program's, that serves at addr with TLS and a certificate of its own.
type process struct {
	name  string
	addr  string // where members, or peers, come to
	admin string // of the status page
	dir   string
	args  []string
	place *Place

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has
	log   bytes.Buffer  // readable once it has ended
}

// newProcess prepares one, with a directory whose name begins as told.
func (p *Place) newProcess(name, dir, command string) (c *process, err error) {
	c = &process{name: name, place: p}
	if c.dir, err = os.MkdirTemp(p.Dir, dir); err != nil {
		return nil, err
	}
	for _, addr := range []*string{&c.addr, &c.admin} {
		if *addr, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	c.args = []string{command, "--tls", "self", "--hostname", "127.0.0.1", "--listen", c.addr, "--admin", c.admin,
		"--state-dir", c.dir, "--drain", "0"}
	return c, nil
}

// start runs the process and waits until it is ready. It may be called again after the end.
func (c *process) start(ctx context.Context) error {
	c.log.Reset()
	ended := make(chan struct{})
	c.cmd, c.ended = exec.Command(c.place.Detour, c.args...), ended
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if err := c.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd) {
		cmd.Wait() // how it ended shows in what it logged
		close(ended)
	}(c.cmd)
	if err := c.awaitReady(ctx); err != nil {
		c.stop()
		return fmt.Errorf("%s %s: %w; it logged: %s", c.args[0], c.name, err, lastOf(c.log.String()))
	}
	return nil
}

func (c *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startBudget, fmt.Errorf("not ready within %v", startBudget))
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for !c.answers(ctx, "/readyz") {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.ended:
			return fmt.Errorf("it ended before it was ready: %v", c.cmd.ProcessState)
		case <-retry.C:
		}
	}
	return nil
}

func (c *process) answers(ctx context.Context, path string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.admin+path, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// stop ends the process, first as an operator does, then by force.
func (c *process) stop() {
	if c.cmd == nil || c.cmd.Process == nil {
		return
	}
	c.cmd.Process.Signal(os.Interrupt)
	select {
	case <-c.ended:
	case <-time.After(stopBudget):
		c.kill()
	}
}

// kill ends it as a power cut does.
func (c *process) kill() {
	c.cmd.Process.Signal(syscall.SIGKILL)
	<-c.ended
}

// taken are the ports that freeAddr has given: it never gives one twice.
var taken struct {
	sync.Mutex
	ports map[int]bool
}

// The system gives none of these ports to connections that ask for any: a process that was killed finds its own free.
const firstPort, lastPort = 15_000, 30_000

// freeAddr is an address of the loopback interface that nobody uses at the moment.
func freeAddr() (string, error) {
	taken.Lock()
	defer taken.Unlock()
	for range lastPort - firstPort {
		port := firstPort + rand.IntN(lastPort-firstPort)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if taken.ports[port] {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		if taken.ports == nil {
			taken.ports = map[int]bool{}
		}
		taken.ports[port] = true
		return addr, nil
	}
	return "", errors.New("no port is free")
}

// lastOf is the end of a log, for an error.
func lastOf(log string) string {
	const most = 3000
	if len(log) > most {
		return "..." + log[len(log)-most:]
	}
	return log
}
