package daemon

import (
	"context"
	"log/slog"
)

// leveled returns a logger that lets through what the level says, which can change
// while the relay runs.
func leveled(to *slog.Logger, name string) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(levelOf(name))
	if to == nil {
		return slog.New(slog.DiscardHandler), level
	}
	return slog.New(levelHandler{to.Handler(), level}), level
}

// levelOf takes a name that the settings were checked for.
func levelOf(name string) (least slog.Level) {
	least.UnmarshalText([]byte(name))
	return least
}

type levelHandler struct {
	slog.Handler
	level *slog.LevelVar
}

func (h levelHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level.Level() && h.Handler.Enabled(ctx, l)
}

func (h levelHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return levelHandler{h.Handler.WithAttrs(attrs), h.level}
}

func (h levelHandler) WithGroup(name string) slog.Handler {
	return levelHandler{h.Handler.WithGroup(name), h.level}
}
