package tailnet

import "time"

const (
	// awakeLook is how often a member looks whether this machine has slept, and sleptTime
	// how much of the time of day has to be missing.
	awakeLook = 10 * time.Second
	sleptTime = 20 * time.Second
)

// keepAwake has a coordinator connected anew when this machine has slept: the clock of
// timers stands still meanwhile, so a stream that is long dead would be waited for, and a
// pause would go on where it was.
func (m *Member) keepAwake() {
	tick := time.NewTicker(awakeLook)
	defer tick.Stop()
	last, lastWall := time.Now(), m.cfg.wall().Round(0)
	for {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
		now, wall := time.Now(), m.cfg.wall().Round(0)
		if missing := wall.Sub(lastWall) - now.Sub(last); missing > sleptTime {
			m.log.Info("this machine has slept, or its clock was set", "for", missing)
			m.NetworkChanged()
		}
		last, lastWall = now, wall
	}
}
