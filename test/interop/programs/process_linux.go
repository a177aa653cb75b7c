package programs

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endWithParent makes the kernel end the program when the test binary dies, so that a test that is killed at its timeout
// leaves no relay behind.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// Usage reads what the relay has used so far.
func (r *Relay) Usage() (Usage, error) {
	var u Usage
	var cpu unix.Timespec
	clock := int32(^r.PID<<3 | 2) // the CPU clock of another process, see clock_getcpuclockid(3)
	if err := unix.ClockGettime(clock, &cpu); err != nil {
		return u, fmt.Errorf("CPU time of %s, process %d: %w", r.Name, r.PID, err)
	}
	u.CPU = time.Duration(cpu.Nano())
	io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", r.PID))
	if err != nil {
		return u, err
	}
	if _, err := fmt.Sscanf(string(io), "rchar: %d\nwchar: %d", &u.Read, &u.Written); err != nil {
		return u, fmt.Errorf("/proc/%d/io: %w", r.PID, err)
	}
	return u, nil
}
