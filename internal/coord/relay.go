package coord

import (
	"crypto/sha256"
	"net/http"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// relay is the name of the relay that asks; empty: whoever may ask without a token.
func (s *Service) relay(r *http.Request) (string, error) {
	token := r.PathValue("token")
	if token == "" {
		token = bearer(r)
	}
	if token == "" && s.cfg.OpenVerify {
		return "", nil
	}
	if err := s.Ready(); err != nil {
		return "", later(coordapi.CodeUnavailable, "the coordination server has only just started")
	}
	name := s.state.Relay(sha256.Sum256([]byte(token)))
	if name == "" {
		return "", refuse(coordapi.CodeForbidden, "this is no token of a relay: an operator adds relays")
	}
	return name, nil
}

// verify answers relays, as spec 12.2 has it.
func (s *Service) verify(w http.ResponseWriter, r *http.Request) (any, error) {
	if !s.relays.take(sourceOf(r)) {
		return nil, later(coordapi.CodeTooMany, "too many questions from this address")
	}
	relay, err := s.relay(r)
	if err != nil {
		return nil, err
	}
	if !s.state.Ready() {
		return nil, later(coordapi.CodeUnavailable, "the coordination server has only just started")
	}
	type question struct {
		NodePublic key.Public
		Source     string
	}
	q, err := body[question](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	return struct{ Allow bool }{s.state.Admits(relay, q.NodePublic)}, nil
}
