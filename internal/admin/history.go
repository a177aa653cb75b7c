package admin

import (
	"net/http"
	"time"

	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/history"
)

// historyMetrics are of the file that has the minute figures of the last week.
var historyMetrics = []Metric{
	ofHistory(counter("history_errors", "times that the file of the history could not be read or written", func(s *Status) uint64 { return s.History.Errors })),
}

func ofHistory(m Metric) Metric { return when(func(s *Status) bool { return s.History != nil }, m) }

// History returns a piece of the history; nil: none is kept.
func (h *Handler) History(q history.Query) (*history.Answer, error) {
	if h.config.History == nil {
		return nil, nil
	}
	return h.config.History(q)
}

func (h *Handler) serveHistory(w http.ResponseWriter, r *http.Request) {
	query, err := history.ParseQuery(r.URL.Query(), time.Now())
	if err != nil {
		front.Say(w, http.StatusBadRequest, err.Error())
		return
	}
	answer, err := h.History(query)
	switch {
	case err != nil:
		front.Say(w, http.StatusBadRequest, err.Error())
	case answer == nil:
		front.Say(w, http.StatusNotFound, "no history is kept")
	default:
		front.SayJSON(w, answer, "")
	}
}
