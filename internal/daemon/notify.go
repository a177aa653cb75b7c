package daemon

import "log/slog"

// notify tells the service manager if this relay is the process.
func (d *Daemon) notify(tell func(*slog.Logger)) {
	if d.options.Service {
		tell(d.log)
	}
}
