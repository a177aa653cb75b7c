package cli

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
)

// NewSwitchLogger is a [NewLogger] of all levels whose format can change: write has the
// lines from then on in another one, which must mean something.
func NewSwitchLogger(w io.Writer, format string) (log *slog.Logger, write func(format string), err error) {
	first, err := NewLogger(w, format, "debug")
	if err != nil {
		return nil, nil, err
	}
	h := switchHandler{current: new(atomic.Pointer[slog.Logger])}
	h.current.Store(first)
	return slog.New(h), func(format string) {
		if next, err := NewLogger(w, format, "debug"); err == nil {
			h.current.Store(next)
		}
	}, nil
}

// A switchHandler writes by the handler that is current, of whatever format.
type switchHandler struct {
	current *atomic.Pointer[slog.Logger]
	with    func(slog.Handler) slog.Handler // adds what has been added; nil: nothing
}

func (h switchHandler) handler() slog.Handler {
	if h.with == nil {
		return h.current.Load().Handler()
	}
	return h.with(h.current.Load().Handler())
}

// Enabled implements slog.Handler.
func (h switchHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.current.Load().Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h switchHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.handler().Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h switchHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.adding(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h switchHandler) WithGroup(name string) slog.Handler {
	return h.adding(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h switchHandler) adding(more func(slog.Handler) slog.Handler) slog.Handler {
	before := h.with
	return switchHandler{h.current, func(to slog.Handler) slog.Handler {
		if before != nil {
			to = before(to)
		}
		return more(to)
	}}
}
