//go:build unix

package acme

import (
	"os/exec"
	"syscall"
)

// endAll has what a program has started end with it, when its time is over: a script
// that waits for another program would leave that behind.
func endAll(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
