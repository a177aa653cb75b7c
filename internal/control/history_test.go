package control

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/history"
)

// The history is asked what the client has asked, and says what is wrong with that.
func TestHistoryIsAsked(t *testing.T) {
	var asked history.Query
	c := at(t, New(Config{Peers: &crowd{}, History: func(q history.Query) (*history.Answer, error) {
		asked = q
		if q.Step == time.Second {
			return nil, errors.New("steps are whole minutes")
		}
		return &history.Answer{StepS: 60, Seconds: []float64{7}}, nil
	}}))
	piece, err := c.History(t.Context(), url.Values{"step": {"1m"}, "from": {"1000"}})
	if err != nil || piece.StepS != 60 || piece.Seconds[0] != 7 || asked.Step != time.Minute || asked.From.Unix() != 1000 {
		t.Errorf("%+v, %v for %+v", piece, err, asked)
	}
	_, err = c.History(t.Context(), url.Values{"step": {"1s"}})
	wantError(t, err, http.StatusBadRequest, "steps are whole minutes")
	_, err = c.History(t.Context(), url.Values{"steps": {"1m"}})
	wantError(t, err, http.StatusBadRequest, `there is no parameter "steps"`)
	_, err = at(t, New(Config{Peers: &crowd{}})).History(t.Context(), nil)
	wantError(t, err, http.StatusNotFound, "this relay keeps no history")
}
