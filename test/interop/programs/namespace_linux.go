package programs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

const howToRun = "run `sudo make interop` on a Linux machine with iproute2 (Debian: apt-get install iproute2)"

// EnterNamespace runs this binary with its own arguments, and env besides what this process has, in a new network namespace,
// and waits for it. Who may not make one is tried with a user namespace around it, in which he is root.
func EnterNamespace(env []string) (status int, err error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return 0, fmt.Errorf("the `ip` tool is missing; %s", howToRun)
	}
	// The death of the thread that starts a process counts as the death of its parent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, err := startInNamespace(env, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
	if errors.Is(err, fs.ErrPermission) {
		cmd, err = startInNamespace(env, &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		})
	}
	if err != nil {
		return 0, fmt.Errorf("no network namespace (%w); %s", err, howToRun)
	}
	cmd.Wait() // how it ended is in the state
	return cmd.ProcessState.ExitCode(), nil
}

func startInNamespace(env []string, attributes *syscall.SysProcAttr) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	attributes.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr = attributes
	return cmd, cmd.Start()
}

// PrepareNetwork gives the new namespace a loopback interface and a veth pair with a default route into it. Both ends stay
// inside the namespace, so what is sent there goes nowhere. 192.0.2.0/24 is reserved for examples (RFC 5737).
func PrepareNetwork() error {
	for _, line := range []string{
		"link set lo up",
		"link add detour0 type veth peer name detour1",
		"addr add 192.0.2.1/24 dev detour0",
		"link set detour0 up",
		"link set detour1 up",
		"route add default via 192.0.2.2 dev detour0",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w (%s); %s", line, err, strings.TrimSpace(string(out)), howToRun)
		}
	}
	return nil
}
