// Package notify tells systemd, if it runs this process, what the process is doing
// (sd_notify). Elsewhere it does nothing.
package notify

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Ready says that the process does its work.
func Ready(log *slog.Logger) { send(log, daemon.SdNotifyReady) }

// Takeover is Ready of a process that takes over from another: it is the one that
// counts from now on.
func Takeover(log *slog.Logger) {
	send(log, fmt.Sprintf("MAINPID=%d\n%s", os.Getpid(), daemon.SdNotifyReady))
}

// Reloading says that the process takes over new settings, until Ready.
func Reloading(log *slog.Logger) {
	send(log, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
}

// Stopping says that the process is about to end.
func Stopping(log *slog.Logger) { send(log, daemon.SdNotifyStopping) }

func send(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot tell the service manager of the state", "reason", err)
	}
}
