package load

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 8 0 1234 1 2 3\n"
	if cpu, err := parseStat([]byte(stat)); cpu != 3*time.Second || err != nil {
		t.Errorf("%v, %v", cpu, err)
	}
	for _, bad := range []string{"", "42 (x) S 1 2", "42 (x) S 1 42 42 0 -1 4194560 100 0 0 0 a 50", "42 (x) S 1 42 42 0 -1 4194560 100 0 0 0 5 b"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestParseStatus(t *testing.T) {
	if n, err := parseStatus([]byte("Name:\tx\nVmRSS:\t   1234 kB\nThreads:\t3\n")); n != 1234<<10 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, bad := range []string{"", "Name:\tx\nState:\tZ (zombie)\n", "VmRSS:\tx kB\n"} {
		if _, err := parseStatus([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestWatchOurselves(t *testing.T) {
	w, err := watch(os.Getpid())
	if runtime.GOOS != "linux" {
		if err == nil {
			t.Error("there is no /proc here, and no error")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	p := w.finish(10)
	for end := time.Now().Add(time.Minute); p.CPUSeconds <= 0 && time.Now().Before(end); {
		w.look() // burns CPU time, of which the kernel counts hundredths of a second
		p = w.finish(10)
	}
	if p.CPUSeconds <= 0 || p.ResidentPeak < 1<<20 || p.CPUPerPacketUS != p.CPUSeconds*1e6/10 {
		t.Errorf("%+v", p)
	}
}

func TestWatchNobody(t *testing.T) {
	w, err := watch(0)
	if w != nil || err != nil || w.finish(1) != nil {
		t.Error("process 0 must mean none")
	}
	if _, err := watch(1 << 30); err == nil {
		t.Error("no error for a process that does not exist")
	}
}
