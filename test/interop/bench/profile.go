package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// profileShares is where our relay's CPU time goes, in percent, by the function that was running.
type profileShares struct {
	Syscalls float64 `json:"system_calls_percent"`
	AESGCM   float64 `json:"aes_gcm_percent"`
	Copies   float64 `json:"copies_percent"`
	Else     float64 `json:"else_percent"`

	Seconds float64 `json:"cpu_s"` // that the shares are of
	Top     []share `json:"top_of_else"`
}

// share is one function's part.
type share struct {
	Function string  `json:"function"`
	Percent  float64 `json:"percent"`
}

// profile takes a CPU profile of our relay under 2 Gbit/s, 16 packets per write.
func (s *stage) profile(ctx context.Context) (*profileShares, error) {
	relay, err := s.start(ctx, ours)
	if err != nil {
		return nil, err
	}
	defer relay.stop()
	seconds := max(s.options.seconds, 5)
	loaded := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); <-loaded }()
	go func() {
		_, err := generate(ctx, s.detour, []string{"bench", "--json", "--insecure", "--rate", "2G", "--burst", "16",
			"--warmup", "2s", "--duration", fmt.Sprintf("%ds", seconds), relay.url})
		loaded <- err
	}()
	return fetchProfile(ctx, relay.pprof, seconds)
}

func fetchProfile(ctx context.Context, addr string, seconds int) (*profileShares, error) {
	body, err := fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", addr, seconds))
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return readProfile(body)
}

// readProfile splits a CPU profile by the functions that were running.
func readProfile(in io.Reader) (*profileShares, error) {
	p, err := profile.Parse(in)
	if err != nil {
		return nil, err
	}
	value := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" && t.Unit == "nanoseconds" })
	if value < 0 {
		return nil, fmt.Errorf("the profile has no CPU time in it")
	}
	times := map[string]int64{} // by function
	for _, sample := range p.Sample {
		times[leaf(sample)] += sample.Value[value]
	}
	return split(times), nil
}

// leaf is the function that was running, the innermost one where some were inlined.
func leaf(sample *profile.Sample) string {
	if len(sample.Location) == 0 || len(sample.Location[0].Line) == 0 {
		return "unknown"
	}
	return sample.Location[0].Line[0].Function.Name
}

func split(times map[string]int64) *profileShares {
	shares := new(profileShares)
	var total int64
	for _, t := range times {
		total += t
	}
	if total == 0 {
		return shares
	}
	shares.Seconds = float64(total) / 1e9
	for function, t := range times {
		percent := 100 * float64(t) / float64(total)
		switch {
		case isSyscall(function):
			shares.Syscalls += percent
		case isAESGCM(function):
			shares.AESGCM += percent
		case function == "runtime.memmove":
			shares.Copies += percent
		default:
			shares.Else += percent
			shares.Top = append(shares.Top, share{function, percent})
		}
	}
	slices.SortFunc(shares.Top, func(a, b share) int {
		if a.Percent != b.Percent {
			return int(1e6 * (b.Percent - a.Percent))
		}
		return strings.Compare(a.Function, b.Function)
	})
	shares.Top = shares.Top[:min(len(shares.Top), 12)]
	return shares
}

// runtimeSyscalls are the runtime's own entries into the kernel; their time is the kernel's.
var runtimeSyscalls = []string{"runtime.futex", "runtime.usleep", "runtime.write1", "runtime.read", "runtime.tgkill",
	"runtime.osyield", "runtime.madvise", "runtime.mmap", "runtime.munmap", "runtime.sigaltstack", "runtime.rtsigprocmask", "runtime.sigreturn__sigaction"}

func isSyscall(function string) bool {
	for _, prefix := range []string{"syscall.", "internal/runtime/syscall", "runtime/internal/syscall", "golang.org/x/sys/unix."} {
		if strings.HasPrefix(function, prefix) {
			return true
		}
	}
	return slices.Contains(runtimeSyscalls, function)
}

func isAESGCM(function string) bool {
	return strings.HasPrefix(function, "crypto/internal/fips140/aes")
}

func shareRow() row {
	return row{
		name: "share", text: "share of our CPU outside system calls, AES-GCM and copies, at 2 Gbit/s", unit: "%",
		mark: mark{limit: 30}, needs: []string{profiling},
		figures: func(r *results) (*float64, *float64) {
			if r.Profile == nil {
				return nil, nil
			}
			return &r.Profile.Else, nil
		},
	}
}
