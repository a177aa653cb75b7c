package coordserver

import (
	"context"
	"errors"
	"os"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/notify"
)

// Reload looks at certificate, token and map as they are now. What cannot be used is
// logged, and changes nothing.
func (s *Server) Reload() {
	s.notify(notify.Reloading)
	defer s.notify(notify.Ready)
	apply, err := s.prepare(s.beside)
	if err != nil {
		s.log.Error("nothing was taken over", "reason", config.Text(err, s.spell))
		return
	}
	for _, f := range apply {
		f()
	}
	s.log.Info("certificate and token are as the files have them now")
	if s.feed != nil {
		select {
		case s.look <- os.Interrupt: // whichever
		default: // it is about to look
		}
	}
}

func (s *Server) prepare(ctx context.Context) (apply []func(), err error) {
	if s.source != nil {
		use, wrong := s.source.Prepare(ctx)
		apply, err = append(apply, use), errors.Join(err, wrong)
	}
	token, wrong := s.commands.PrepareToken(s.config.Front.AdminToken)
	if token != nil {
		apply = append(apply, token)
	}
	readers, unread := s.metrics.Prepare(s.config.Front)
	if readers != nil {
		apply = append(apply, readers)
	}
	return apply, errors.Join(err, wrong, unread)
}
