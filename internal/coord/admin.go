package coord

import (
	"context"
	"net/http"
	"strings"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
)

// AdminHandler is what operators call, below coordapi.PathAdmin. Whoever reaches it
// may do everything.
func (s *Service) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	for pattern, f := range map[string]func(http.ResponseWriter, *http.Request) (any, error){
		"GET tailnets":                           s.adminTailnets,
		"POST tailnets":                          s.adminCreate,
		"GET tailnets/{tailnet}":                 s.adminTailnet,
		"PATCH tailnets/{tailnet}":               s.adminRename,
		"DELETE tailnets/{tailnet}":              s.adminDelete,
		"GET tailnets/{tailnet}/invites":         s.adminInvites,
		"POST tailnets/{tailnet}/invites":        s.adminInvite,
		"DELETE tailnets/{tailnet}/invites/{id}": s.adminWithdraw,
		"GET tailnets/{tailnet}/members":         s.adminMembers,
		"PATCH tailnets/{tailnet}/members/{m}":   s.adminChange,
		"DELETE tailnets/{tailnet}/members/{m}":  s.adminRemove,
		"GET map":                                s.adminMap,
		"PUT map":                                s.adminSetMap,
		"GET relays":                             s.adminRelays,
		"POST relays":                            s.adminAddRelay,
		"DELETE relays/{relay}":                  s.adminRemoveRelay,
		"GET export":                             s.adminExport,
		"POST import":                            s.adminImport,
		"GET status":                             func(http.ResponseWriter, *http.Request) (any, error) { return s.Snapshot(), nil },
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+coordapi.PathAdmin+path, s.answer(s.whenReady(pattern, f)))
	}
	mux.HandleFunc("/", s.answer(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, refuse(coordapi.CodeNotFound, "there is no such call for operators, or not with this method")
	}))
	return mux
}

func (s *Service) whenReady(pattern string, f func(http.ResponseWriter, *http.Request) (any, error)) func(http.ResponseWriter, *http.Request) (any, error) {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		if err := s.Ready(); err != nil && pattern != "GET status" {
			return nil, later(coordapi.CodeUnavailable, "the coordination server is not ready: %v", err)
		}
		return f(w, r)
	}
}

// tryFor bounds how long a call may try to write.
func tryFor(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), tryTime)
}

func (s *Service) named(r *http.Request) (coordstate.Tailnet, error) {
	t, ok := s.state.Tailnet(r.PathValue("tailnet"))
	if !ok {
		return t, refuse(coordapi.CodeNotFound, "there is no tailnet %q", r.PathValue("tailnet"))
	}
	return t, nil
}

func label(what, name string) (string, error) {
	if l := coordstate.Label(name); l == "" || l != strings.ToLower(name) {
		return "", refuse(coordapi.CodeBadRequest, "a %s cannot be called %q: want up to %d letters, digits and single dashes", what, name, coordapi.MostName)
	}
	return strings.ToLower(name), nil
}
