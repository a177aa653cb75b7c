package initcmd

import (
	"context"
	"encoding/json"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/unit"
)

const (
	mostWait = time.Minute // for the first certificate
	lookEach = 200 * time.Millisecond
)

// await waits until the service that was just started has its certificate, or says why
// it has none: then there is something to be put right now, and not when the first
// peer comes.
func (s *session) await() error {
	if s.installer == nil || s.now.TLS.Mode != config.TLSACME || s.root != "" {
		return nil
	}
	socket, err := daemon.SocketPath(s.now)
	if err != nil || socket == "" {
		return nil
	}
	s.line("wait", "for its certificate")
	ctx, cancel := context.WithTimeout(s.ctx, mostWait)
	defer cancel()
	relay := control.OverSocket(socket)
	defer relay.Close()
	for {
		missing, failed := certificateOf(ctx, relay)
		switch {
		case missing == "":
			s.issued = true
			s.tell("done", "it has a certificate", true)
			return nil
		case failed:
			s.tell("note", "it has no certificate yet, and tries again by itself: "+missing, false)
			return nil
		}
		select {
		case <-time.After(lookEach):
		case <-ctx.Done():
			s.tell("note", "it has no certificate yet: the log says why (journalctl -u detour)", false)
			return nil
		}
	}
}

// tell notes what has become of the service.
func (s *session) tell(word, what string, done bool) {
	s.Service = append(s.Service, unit.Step{What: what, Done: done})
	s.line(word, what)
}

// certificateOf asks the relay whether it has one, and why not.
func certificateOf(ctx context.Context, relay *control.Client) (missing string, failed bool) {
	text, err := relay.Status(ctx)
	var status struct {
		Certificate struct {
			Missing  string
			Issuance struct{ Failed int }
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &status)
	}
	if err != nil {
		return "it is just starting", false
	}
	return status.Certificate.Missing, status.Certificate.Issuance.Failed > 0
}
