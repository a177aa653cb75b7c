package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/key"
)

// A crew is a process with many peers of one relay, of which each may do as it likes. It is another process than those whose packets
// are timed, and than the relay. It gets errands, one at a time, and has gone home with all its peers when nobody has one any more.
type crew struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	tell *json.Encoder
	hear *json.Decoder
	gone atomic.Pointer[error] // why it was ended before its time
}

// crewEnv makes this program a crew.
const crewEnv = "DETOUR_BENCH_CREW"

// crewLate is how long one errand may take.
const crewLate = 5 * time.Minute

// errand is what a crew is to do next, one of errands.
type errand struct {
	Do    string
	Addr  string     // of the relay
	Peers int        // that log in, or stay
	To    key.Public // to whom they send
}

// answer is what has come of it.
type answer struct {
	TookS  float64
	Again  int64 // logins that had to be tried again
	Ended  int64 // connections that the relay has ended, so far
	Broken int64 // packets that came otherwise than they were sent, so far
	Error  string
}

func startCrew(ctx context.Context) (*crew, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &crew{cmd: exec.CommandContext(ctx, program)}
	c.cmd.Env, c.cmd.Stderr = append(os.Environ(), crewEnv+"=1"), os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.tell, c.hear = json.NewEncoder(c.in), json.NewDecoder(out)
	return c, c.cmd.Start()
}

// run has the crew run an errand.
func (c *crew) run(e errand) (a answer, err error) {
	late := time.AfterFunc(crewLate, func() {
		err := fmt.Errorf("it took longer than %v", crewLate)
		c.gone.Store(&err)
		c.cmd.Process.Kill()
	})
	defer late.Stop()
	if err = c.tell.Encode(e); err == nil {
		err = c.hear.Decode(&a)
	}
	if why := c.gone.Load(); why != nil {
		err = *why
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		err = fmt.Errorf("a crew that was to %s: %w", e.Do, err)
	}
	return a, err
}

// end sends the crew home.
func (c *crew) end() {
	c.in.Close()
	late := time.AfterFunc(startBudget, func() { c.cmd.Process.Kill() })
	defer late.Stop()
	c.cmd.Wait() // all that it had to say is said
}

// crewMain ends the process if it is a crew.
func crewMain() {
	if os.Getenv(crewEnv) == "" {
		return
	}
	if err := serveCrew(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serveCrew runs errands until there are no more.
func serveCrew(in io.Reader, out io.Writer) error {
	hands := new(hands)
	defer hands.goHome()
	tell, hear := json.NewEncoder(out), json.NewDecoder(in)
	for {
		var e errand
		if err := hear.Decode(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		began := time.Now()
		err := hands.run(e)
		a := answer{TookS: time.Since(began).Seconds(), Again: hands.again.Load(), Ended: hands.ended.Load(), Broken: hands.broken.Load()}
		if err != nil {
			a.Error = err.Error()
		}
		if err := tell.Encode(a); err != nil {
			return err
		}
	}
}
