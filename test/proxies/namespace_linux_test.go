package proxies

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// enterNamespace runs this binary with its own arguments in a new network namespace and
// waits for it.
func enterNamespace(env string) (status int, err error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return 0, fmt.Errorf("%w; Debian: apt-get install iproute2", err)
	}
	// The death of the thread that starts a process counts as the death of its parent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), env)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("no network namespace (%w): run `sudo make proxies`", err)
	}
	cmd.Wait() // how it ended is in the state
	return cmd.ProcessState.ExitCode(), nil
}

// endWithUs has the kernel end the program when the test binary dies.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
