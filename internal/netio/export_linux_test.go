package netio

// SetWorking has the first n loops get sockets from now on.
func (l *Loops) SetWorking(n int) { l.working.Store(int32(n)) }

// Working is how many do.
func (l *Loops) Working() int { return int(l.working.Load()) }
