package coordserver

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/coordapi"
)

// serve answers members and relays.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "This is a Detour coordination server. Members come with an invite: detour join detour1...\n")
		return
	case strings.HasPrefix(r.URL.Path, coordapi.PathAdmin):
		refuse(w, http.StatusNotFound, coordapi.CodeNotFound, "operators do not ask here: use the admin socket, or the address of admin-https")
		return
	}
	e := s.opened()
	if e == nil {
		unavailable(w, s.whyNotReady().Error())
		return
	}
	e.handler.ServeHTTP(w, r)
}

// unavailable sends somebody to another coordinator, or has him wait.
func unavailable(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", strconv.Itoa(2))
	refuse(w, http.StatusServiceUnavailable, coordapi.CodeUnavailable, why)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(coordapi.Error{Code: code, Message: message}) // who has left misses nothing
}
