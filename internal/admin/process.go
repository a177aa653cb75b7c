package admin

import (
	"time"

	"github.com/detour-relay/detour/internal/config"
)

// A Reload tells of the last time that settings were taken over. Its JSON names are
// stable.
type Reload struct {
	At      time.Time `json:"at"`
	Error   string    `json:"error"`   // why not all could be taken over; empty: all was
	Restart []string  `json:"restart"` // settings that wait for a restart; null: none

	Changed []config.Change `json:"changed"` // what was taken over; null: nothing
}

// Descriptors are what the system lets the process open. Its JSON names are stable.
type Descriptors struct {
	Limit uint64 `json:"limit"` // files and sockets; 0: none that is known
	Few   bool   `json:"few"`   // too few for a relay of any size
}
