package coord

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
)

var statuses = map[string]int{
	coordapi.CodeBadRequest: 400, coordapi.CodeUnauthorized: 401, coordapi.CodeNotMember: 403, coordapi.CodeForbidden: 403,
	coordapi.CodeInvite: 403, coordapi.CodeInviteUsed: 403, coordapi.CodeInviteExpired: 403, coordapi.CodeProof: 403,
	coordapi.CodeNotFound: 404, coordapi.CodeStale: 409, coordapi.CodeConflict: 409, coordapi.CodeTooLarge: 413,
	coordapi.CodeTooMany: 429, coordapi.CodeUnavailable: 503,
}

func refuse(code, format string, args ...any) error {
	return &coordapi.Error{Code: code, Status: statuses[code], Message: fmt.Sprintf(format, args...)}
}

// later is a refusal that may pass. Those who are refused at once do not come back at
// once.
func later(code, format string, args ...any) error {
	e := refuse(code, format, args...).(*coordapi.Error)
	e.RetryAfter = time.Duration(1+rand.IntN(3)) * time.Second
	return e
}

// refusal makes an answer of any error.
func refusal(err error) *coordapi.Error {
	var e *coordapi.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, coordstate.ErrNoTailnet):
		err = refuse(coordapi.CodeNotFound, "there is no such tailnet")
	case errors.Is(err, coordstate.ErrFull):
		err = refuse(coordapi.CodeConflict, "the tailnet is full: it has %d members", coordapi.MostMembers)
	case errors.Is(err, coordstate.ErrBusy):
		err = later(coordapi.CodeTooMany, "too much is under way in this tailnet: try again in a moment")
	case errors.Is(err, coordstore.ErrConflict):
		err = later(coordapi.CodeUnavailable, "others keep changing the same: try again in a moment")
	default: // the store's own words may name addresses of the engine
		err = later(coordapi.CodeUnavailable, "the coordination server cannot write now: try again, or ask another coordinator")
	}
	return err.(*coordapi.Error)
}

// answer is a handler that answers with JSON, or why not.
func (s *Service) answer(f func(w http.ResponseWriter, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(w, r)
		if err != nil {
			s.refused(w, err)
			return
		}
		if v != nil {
			writeJSON(w, http.StatusOK, v)
		}
	}
}

func (s *Service) refused(w http.ResponseWriter, err error) {
	e := refusal(err)
	s.counts.refuse(e.Code)
	if e.Code == coordapi.CodeUnavailable {
		s.log.Debug("a call could not be served", "err", err)
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	writeJSON(w, e.Status, e)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // who has gone does not read it
}

// bodyTime is how long a body may take, and callTime a call with its answer.
const (
	bodyTime = 10 * time.Second
	callTime = time.Minute
)

// Bounded has calls end: with a body that does not come, which http.Server reads to its
// end also where nobody has asked for it, and with an answer that nobody reads.
// Streams have their own deadlines.
func Bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.SetWriteDeadline(time.Now().Add(callTime))
		if r.Body != http.NoBody {
			rc.SetReadDeadline(time.Now().Add(bodyTime))
		}
		next.ServeHTTP(w, r)
	})
}

// body reads a request's JSON.
func body[T any](w http.ResponseWriter, r *http.Request, most int64) (v T, err error) {
	b, err := bodyBytes(w, r, most)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, refuse(coordapi.CodeBadRequest, "the body is not what this call takes: %v", err)
	}
	return v, nil
}

func bodyBytes(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(bodyTime)) // what has no deadlines has no slow peers
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err == nil { // otherwise the server would wait for the rest without end
		rc.SetReadDeadline(time.Time{})
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(coordapi.CodeTooLarge, "the body has more than %d bytes", most)
	case err != nil:
		return nil, refuse(coordapi.CodeBadRequest, "the body did not come whole")
	}
	return b, nil
}
