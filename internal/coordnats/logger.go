package coordnats

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
)

// A logger hands what the engine says to ours. What it tells of its life is of no use
// to who runs a coordinator, unless something is wrong.
type logger struct {
	to      *slog.Logger
	refused func(text string) // a write has failed for good
	foreign func()            // a coordinator has shown a certificate of another secret
}

func (l logger) say(level slog.Level, format string, values []any) {
	if l.to.Enabled(context.Background(), level) {
		l.to.Log(context.Background(), level, "the engine says", "text", fmt.Sprintf(format, values...))
	}
}

func (l logger) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l logger) Debugf(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }
func (l logger) Tracef(format string, v ...any)  {}
func (l logger) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l logger) Errorf(format string, v ...any) {
	l.say(slog.LevelWarn, format, v)
	if refused(format) {
		l.refused(fmt.Sprintf(format, v...))
	}
	for _, value := range v {
		if err, ok := value.(error); ok && isForeign(err) {
			l.foreign()
		}
	}
}

// isForeign reports whether a handshake failed because the other end has another
// authority. Routes are all that the engine speaks TLS for.
func isForeign(err error) bool {
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}

func (l logger) Fatalf(format string, v ...any) { l.say(slog.LevelError, format, v) }
