package main

import (
	"cmp"
	"debug/buildinfo"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// machine is where the figures come from.
type machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"` // that Detour was built with
	Derper   string `json:"derper"`
	DerperGo string `json:"derper_go"`
}

// machine describes this one, and the programs under test.
func (s *stage) machine() (m machine, err error) {
	ours, err := buildinfo.ReadFile(s.detour)
	if err != nil {
		return m, err
	}
	theirs, err := buildinfo.ReadFile(s.derper)
	if err != nil {
		return m, err
	}
	version := theirs.Main.Version
	for _, d := range theirs.Deps {
		if d.Path == "tailscale.com" {
			version = cmp.Or(version, d.Version)
		}
	}
	return machine{
		CPU: cpuModel(), Cores: runtime.NumCPU(), Kernel: kernel(),
		Go: ours.GoVersion, Derper: strings.TrimPrefix(version, "v"), DerperGo: theirs.GoVersion,
	}, nil
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s; Detour with %s, derper %s with %s", m.CPU, m.Cores, m.Kernel, m.Go, m.Derper, m.DerperGo)
}

// cpuModel reads the processor's name from /proc/cpuinfo.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// kernel is the system and the numbers of its release, without what a vendor appended.
func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	release, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
	return "Linux " + release
}

// descriptors is how many a process may have at once.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Cur
}
