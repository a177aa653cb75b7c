package coordnats

import (
	"time"
	_ "unsafe" // for linkname
)

// How soon a cluster chooses another leader. The engine has no option for it: its
// variables say that followers wait 4 to 9 s for a leader that has died, during
// which nothing can be written. Ours are in one room or one data centre and have few
// groups, so they can wait as long as etcd's do. The linker fails if the engine
// renames the variables; BenchmarkLeaderKilled shows what they do.
//
//go:linkname minElectionTimeout github.com/nats-io/nats-server/v2/server.minElectionTimeout
var minElectionTimeout time.Duration

//go:linkname maxElectionTimeout github.com/nats-io/nats-server/v2/server.maxElectionTimeout
var maxElectionTimeout time.Duration

//go:linkname hbInterval github.com/nats-io/nats-server/v2/server.hbInterval
var hbInterval time.Duration

// hurryElections is called before the first server is started, once.
func hurryElections() {
	minElectionTimeout, maxElectionTimeout = 750*time.Millisecond, 1500*time.Millisecond
	hbInterval = 200 * time.Millisecond
}
