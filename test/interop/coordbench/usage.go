package coordbench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process has used since it was started.
type usage struct {
	cpu     time.Duration
	written float64 // bytes to storage
}

// clockTick is the unit of CPU times in /proc.
const clockTick = 10 * time.Millisecond

func (c *process) usage() (u usage, err error) {
	dir := fmt.Sprintf("/proc/%d", c.cmd.Process.Pid)
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return u, err
	}
	if u.cpu, err = cpuOf(string(stat)); err != nil {
		return u, err
	}
	written, err := field(filepath.Join(dir, "io"), "write_bytes:")
	if err != nil {
		return u, err
	}
	u.written, err = strconv.ParseFloat(written, 64)
	return u, err
}

// cpuOf reads /proc/PID/stat. The name of the program may have anything in it, also parentheses.
func cpuOf(stat string) (time.Duration, error) {
	_, rest, _ := cutLast(stat, ")")
	fields := strings.Fields(rest) // from the third
	if len(fields) < 13 {
		return 0, errors.New("the system does not say how much CPU time a process has used")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err, err2)
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// field is what a file of /proc has under a name.
func field(path, name string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s has no %s", path, name)
}

// residentMB is what the process has in memory, peakMB the most that it has had.
func (c *process) residentMB() (float64, error) { return c.memory("VmRSS:") }
func (c *process) peakMB() (float64, error)     { return c.memory("VmHWM:") }

func (c *process) memory(name string) (float64, error) {
	text, err := field(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid), name)
	if err != nil {
		return 0, err
	}
	kb, err := strconv.ParseFloat(strings.TrimSuffix(text, " kB"), 64)
	return kb / 1024, err
}

// keptMB is what is in the process's directory.
func (c *process) keptMB() (float64, error) {
	sum := int64(0)
	err := filepath.Walk(c.dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil // files come and go
	})
	return float64(sum) / (1 << 20), err
}

// Fits is how many whole tailnets with so many members can have a stream each, at most most: each is a descriptor here
// and one in the coordinator, and both need some more.
func Fits(most, perNet int) int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return most
	}
	return fits(most, perNet, limit.Cur)
}

const otherDescriptors = 1000

func fits(most, perNet int, descriptors uint64) int {
	if descriptors <= otherDescriptors {
		return 0
	}
	return int(min(uint64(most), (descriptors-otherDescriptors)/uint64(perNet)))
}
