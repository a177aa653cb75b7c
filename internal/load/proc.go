package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of CPU times in /proc/PID/stat. Linux fixes it at 100
// for user space on every platform Go runs on.
const ticksPerSecond = 100

// usage is what one process has used so far.
type usage struct {
	cpu      time.Duration // user and system time of all its threads
	resident int64         // bytes
}

// readUsage reads the usage of a process from /proc. It works on Linux only.
func readUsage(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("cannot read the CPU time of process %d (needs Linux and a running process): %w", pid, err)
	}
	cpu, err := parseStat(stat)
	if err != nil {
		return usage{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, fmt.Errorf("cannot read the memory of process %d: %w", pid, err)
	}
	resident, err := parseStatus(status)
	if err != nil {
		return usage{}, fmt.Errorf("/proc/%d/status: %w", pid, err)
	}
	return usage{cpu: cpu, resident: resident}, nil
}

// parseStat reads utime and stime, the 14th and 15th field of /proc/PID/stat
// (proc(5)). The second field is the program's name in parentheses, which may
// itself hold spaces and parentheses.
func parseStat(stat []byte) (time.Duration, error) {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3 // counted behind the name
	if len(fields) <= stime {
		return 0, errors.New("too few fields")
	}
	user, err := strconv.ParseInt(fields[utime], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("utime: %w", err)
	}
	system, err := strconv.ParseInt(fields[stime], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("stime: %w", err)
	}
	return time.Duration(user+system) * time.Second / ticksPerSecond, nil
}

// parseStatus reads the resident size, "VmRSS: 1234 kB".
func parseStatus(status []byte) (int64, error) {
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "VmRSS:" && fields[2] == "kB" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.New("no line VmRSS: the process has ended")
}

// watched is a process whose usage is followed through the measured window. A nil
// one does nothing.
type watched struct {
	pid   int
	start usage
	last  usage
	peak  int64
}

// watch begins to follow a process; pid 0 means none.
func watch(pid int) (*watched, error) {
	if pid == 0 {
		return nil, nil
	}
	u, err := readUsage(pid)
	if err != nil {
		return nil, err
	}
	return &watched{pid: pid, start: u, last: u, peak: u.resident}, nil
}

// look takes a sample. A process that has ended keeps its last one.
func (w *watched) look() {
	if w == nil {
		return
	}
	if u, err := readUsage(w.pid); err == nil {
		w.last, w.peak = u, max(w.peak, u.resident)
	}
}

// finish takes the last sample and says what the process used for so many packets.
func (w *watched) finish(packets uint64) *Process {
	if w == nil {
		return nil
	}
	w.look()
	cpu := w.last.cpu - w.start.cpu
	p := &Process{
		PID: w.pid, CPUSeconds: cpu.Seconds(),
		ResidentStart: w.start.resident, ResidentEnd: w.last.resident, ResidentPeak: w.peak,
	}
	if packets > 0 {
		p.CPUPerPacketUS = float64(cpu.Nanoseconds()) / 1e3 / float64(packets)
	}
	return p
}
