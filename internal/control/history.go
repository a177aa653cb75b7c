package control

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/detour-relay/detour/internal/history"
)

// PathAdminHistory is where the admin address answers as the socket does at its path for
// the history.
const PathAdminHistory = "/history"

// AskHistory returns a piece of the history; nil: none is kept. The error is of the query.
type AskHistory func(history.Query) (*history.Answer, error)

func (h *Handler) history(w http.ResponseWriter, r *http.Request) error {
	end, err := h.begin()
	if err != nil {
		return err
	}
	defer end()
	piece, err := h.config.History.piece(r)
	if err != nil {
		return err
	}
	return say(w, piece)
}

// ServeHistory answers with a piece of the history where nobody asks for more.
func ServeHistory(w http.ResponseWriter, r *http.Request, ask AskHistory) {
	piece, err := ask.piece(r)
	if e, refused := errors.AsType[*Error](err); refused {
		fail(w, e)
		return
	}
	say(w, piece) // who has left misses nothing
}

// piece is what a request asks for. Each error is an [Error].
func (ask AskHistory) piece(r *http.Request) (piece *history.Answer, err error) {
	q, err := history.ParseQuery(r.URL.Query(), time.Now())
	if err == nil && ask != nil {
		piece, err = ask(q)
	}
	switch {
	case err != nil:
		return nil, &Error{http.StatusBadRequest, err.Error()}
	case piece == nil:
		return nil, &Error{http.StatusNotFound, "this relay keeps no history: its setting history is off"}
	}
	return piece, nil
}

// History asks for a piece of the history, see history.ParseQuery for the query.
func (c *Client) History(ctx context.Context, q url.Values) (piece history.Answer, err error) {
	return piece, c.Get(ctx, pathHistory, q, &piece)
}
