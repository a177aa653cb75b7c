package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A space is a network namespace: a machine of the lab.
type space string

// ip configures it, with the lines of a batch.
func (s space) ip(lines ...string) error {
	return fed(strings.Join(lines, "\n")+"\n", "ip", "-n", string(s), "-batch", "-")
}

// nft has it filter and translate by these rules, besides those that it has.
func (s space) nft(rules string) error {
	return fed(rules, "ip", "netns", "exec", string(s), "nft", "-f", "-")
}

// set sets values of its kernel, name=value.
func (s space) set(values ...string) error {
	return s.do(func() error {
		for _, v := range values {
			name, value, _ := strings.Cut(v, "=")
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
				return fmt.Errorf("kernel of %s: %w", s, err)
			}
		}
		return nil
	})
}

// command is one that runs there, in a process group of its own, so that a signal for
// the lab does not end it too early.
func (s space) command(log io.Writer, program string, args ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", string(s), program}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// do calls a function in the namespace. Sockets that it opens stay there.
func (s space) do(open func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		done <- s.enter(open)
	}()
	return <-done
}

func (s space) enter(open func() error) error {
	there, err := unix.Open("/run/netns/"+string(s), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", s, err)
	}
	defer unix.Close(there)
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", s, err)
	}
	return open()
}

// fed runs a program with some input. The error has what it says.
func fed(input, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w (Debian: apt-get install iproute2 nftables conntrack)", err)
	}
	return fmt.Errorf("%s %s: %w: %s%s", program, strings.Join(args, " "), err, bytes.TrimSpace(out), indented(input))
}

func indented(input string) string {
	if input == "" {
		return ""
	}
	return "\n\t" + strings.ReplaceAll(strings.TrimSpace(input), "\n", "\n\t")
}
