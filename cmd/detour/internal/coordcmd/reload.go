package coordcmd

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/detour-relay/detour/internal/coordserver"
)

// reloadOnHangup has the coordinator look at its files whenever SIGHUP comes, until
// stop is called.
func reloadOnHangup(s *coordserver.Server) (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-hangup:
				s.Reload() // which logs what became of it
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(done)
		<-ended
	}
}
