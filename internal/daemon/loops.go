package daemon

import (
	"runtime"
	"sync"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/netio"
)

// openLoops starts loops to read the peers' connections, if loops are to do so: as many
// as Go has processors, of which no more work than have to.
func (d *Daemon) openLoops(poller string) (loops *netio.Loops, err error) {
	if poller != config.PollerLoops {
		return nil, nil
	}
	n := more.take()
	if loops, err = netio.NewLoops(n); err != nil {
		more.give()
		return nil, err
	}
	d.closeLoops = func() {
		loops.Close()
		more.give()
	}
	return loops, nil
}

// more allows Go one processor more while there are loops: a loop waits in the kernel with
// one at hand. When several work they have little time to wait.
var more processors

type processors struct {
	mu     sync.Mutex
	takers int // guarded by mu
	before int // guarded by mu: how many there were without takers
}

// take returns how many there were.
func (p *processors) take() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.takers++; p.takers == 1 {
		p.before = runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(p.before + 1)
	}
	return p.before
}

func (p *processors) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.takers--; p.takers == 0 {
		runtime.GOMAXPROCS(p.before)
	}
}
