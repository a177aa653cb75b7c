package history

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"time"
)

// Process returns for how long this process has computed, and how many bytes of it are in
// memory.
func Process() (cpu time.Duration, memory uint64) {
	if memory = resident(); memory == 0 {
		memory = mapped()
	}
	return cpuTime(), memory
}

// resident is what Linux says; 0: it says nothing.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(string(fields[1]), 10, 40)
	return pages * uint64(os.Getpagesize())
}

// mapped is what the runtime has from the system, and has not given back.
func mapped() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() != metrics.KindUint64 {
			return 0
		}
	}
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
