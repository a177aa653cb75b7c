package admin

import (
	"net/http"

	"github.com/detour-relay/detour/internal/control"
)

// historyMetrics are of the file that has the minute figures of the last week.
var historyMetrics = []Metric{
	ofHistory(counter("history_errors", "times that the file of the history could not be read or written", func(s *Status) uint64 { return s.History.Errors })),
}

func ofHistory(m Metric) Metric { return when(func(s *Status) bool { return s.History != nil }, m) }

func (h *Handler) serveHistory(w http.ResponseWriter, r *http.Request) {
	control.ServeHistory(w, r, h.config.History)
}
