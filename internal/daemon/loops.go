package daemon

import (
	"runtime"

	"github.com/detour-relay/detour/internal/netio"
)

// openLoops starts so many loops to read the peers' connections, if any. Each waits in the
// kernel with a processor of Go's at hand, so Go gets as many more.
func (d *Daemon) openLoops(n int) (loops *netio.Loops, err error) {
	if n == 0 {
		return nil, nil
	}
	if loops, err = netio.NewLoops(n); err != nil {
		return nil, err
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	d.closeLoops = func() {
		loops.Close()
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - n)
	}
	return loops, nil
}
