package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"
)

// relayUse is what a relay's process used in a time.
type relayUse struct {
	took   time.Duration
	cpu    time.Duration
	allocs float64 // allocations; 0 for derper, which is not asked
}

// during tells what the relay's process uses while something is done.
func (r *relay) during(ctx context.Context, do func() error) (used relayUse, err error) {
	var mallocs [4]float64
	for i := range 3 { // the first time costs more, so it does not count
		if mallocs[i], err = r.mallocs(ctx); err != nil {
			return used, err
		}
	}
	cpu, err := cpuTime(r.pid())
	if err != nil {
		return used, err
	}
	began := time.Now()
	if err := do(); err != nil {
		return used, err
	}
	used.took = time.Since(began)
	after, err := cpuTime(r.pid())
	if err != nil {
		return used, err
	}
	used.cpu = after - cpu
	mallocs[3], err = r.mallocs(ctx)
	used.allocs = allocsBetween(mallocs[1], mallocs[2], mallocs[3])
	return used, err
}

// allocsBetween is how many allocations were made between the last two times that a relay was asked, less those that asking takes:
// before it, the relay was asked twice in a row.
func allocsBetween(first, second, last float64) float64 {
	return max(0, (last-second)-(second-first))
}

var mallocsLine = regexp.MustCompile(`(?m)^# Mallocs = (\d+)$`)

// mallocs is how many allocations the relay has made, by its own account.
func (r *relay) mallocs(ctx context.Context) (float64, error) {
	if r.pprof == "" {
		return 0, nil
	}
	body, err := fetch(ctx, "http://"+r.pprof+"/debug/pprof/heap?debug=1")
	if err != nil {
		return 0, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return 0, err
	}
	found := mallocsLine.FindSubmatch(text)
	if found == nil {
		return 0, errors.New("the relay does not tell how much it has allocated")
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// fetch gets what a relay tells of itself. The caller closes it.
func fetch(ctx context.Context, url string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return response.Body, nil
}

// clockTick is the unit of CPU times in /proc/PID/stat; Linux fixes it for user space.
const clockTick = 10 * time.Millisecond

// cpuTime reads what a process has used so far, as user and in the system.
func cpuTime(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	cpu, err := parseCPUTime(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return cpu, nil
}

// parseCPUTime reads fields 14 and 15, see proc_pid_stat(5). The name, which is field 2, may hold anything.
func parseCPUTime(stat []byte) (time.Duration, error) {
	behindName := stat[bytes.LastIndexByte(stat, ')')+1:]
	var state string
	var skipped [10]int64 // fields 4 to 13
	var user, system time.Duration
	into := []any{&state}
	for i := range skipped {
		into = append(into, &skipped[i])
	}
	_, err := fmt.Sscan(string(behindName), append(into, &user, &system)...)
	return (user + system) * clockTick, err
}
