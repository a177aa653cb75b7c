package coordnats

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// dialled are the two connections of a store: what is written waits for nothing that
// is watched.
type dialled struct {
	write, watch *nats.Conn
}

// connect makes both connections. A connection comes back by itself, quickly: it is
// one of a few, not of many.
func (s *Store) connect(urls string, more []nats.Option) error {
	var err error
	if s.conns.write, err = nats.Connect(urls, s.options("writes", more)...); err != nil {
		return s.explain(err)
	}
	watching := append(s.options("watches", more), nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
		s.breakWatches(fmt.Errorf("the connection broke: %w", orClosed(err)))
	}))
	if s.conns.watch, err = nats.Connect(urls, watching...); err != nil {
		return s.explain(err)
	}
	return nil
}

func orClosed(err error) error {
	if err == nil {
		return nats.ErrConnectionClosed
	}
	return err
}

func (s *Store) options(what string, more []nats.Option) []nats.Option {
	log := s.config.Logger
	return append([]nats.Option{
		nats.Name("detour coordinator, " + what), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.Timeout(3 * time.Second),
		nats.ReconnectWait(200 * time.Millisecond), nats.ReconnectJitter(200*time.Millisecond, 500*time.Millisecond),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2), nats.MaxReconnects(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrConnectionClosed) {
				log.Warn("a connection to the engine says", "what", what, "err", err)
			}
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { noteBroken(log, what, err) }),
	}, more...)
}

func noteBroken(log *slog.Logger, what string, err error) {
	if err != nil {
		log.Warn("a connection to the engine broke, it is made again", "what", what, "err", err)
	}
}

func (s *Store) explain(err error) error {
	if len(s.config.URLs) == 0 {
		return fmt.Errorf("the engine in %s does not let us in: %w", s.config.Dir, err)
	}
	if errors.Is(err, nats.ErrNoServers) {
		return fmt.Errorf("none of the NATS servers answers: %w", err)
	}
	return fmt.Errorf("the NATS servers: %w", err)
}

func (d dialled) close() {
	for _, c := range []*nats.Conn{d.write, d.watch} {
		if c != nil {
			c.Close()
		}
	}
}
