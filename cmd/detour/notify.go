package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/daemon"
)

// What systemd is told, if it runs us (sd_notify): when we are ready, reload and
// stop, and after an upgrade which process counts from now on. Elsewhere these do
// nothing.

func notifyReady(log *slog.Logger) { notify(log, daemon.SdNotifyReady) }

// notifyTakeover is notifyReady of the process that takes over in an upgrade.
func notifyTakeover(log *slog.Logger) {
	notify(log, fmt.Sprintf("MAINPID=%d\n%s", os.Getpid(), daemon.SdNotifyReady))
}

func notifyReloading(log *slog.Logger) {
	notify(log, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
}

func notifyStopping(log *slog.Logger) { notify(log, daemon.SdNotifyStopping) }

func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot tell the service manager of the state", "reason", err)
	}
}
