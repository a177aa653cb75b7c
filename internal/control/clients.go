package control

import (
	"iter"
	"net/http"
	"time"

	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/relay"
)

// PathAdminClients is where the admin address answers as the socket does at its path for
// clients.
const PathAdminClients = "/clients"

// clients answers with a page of the connections.
func (h *Handler) clients(w http.ResponseWriter, r *http.Request) error {
	end, err := h.begin()
	if err != nil {
		return err
	}
	defer end()
	page, err := pageOf(r, h.config.Peers.Peers)
	if err != nil {
		return err
	}
	return say(w, page)
}

// ServeClients answers with a page of connections where nobody asks for more.
func ServeClients(w http.ResponseWriter, r *http.Request, all iter.Seq[relay.PeerState]) {
	page, err := pageOf(r, all)
	if err != nil {
		fail(w, &Error{http.StatusBadRequest, err.Error()})
		return
	}
	say(w, page) // who has left misses nothing
}

// pageOf is the page that a request asks for.
func pageOf(r *http.Request, all iter.Seq[relay.PeerState]) (page Clients, err error) {
	now := time.Now()
	q, err := clients.Parse(r.URL.Query(), now)
	if err != nil {
		return page, &Error{http.StatusBadRequest, err.Error()}
	}
	found := q.Page(all)
	page = Clients{At: now.UTC(), Conns: found.Conns, Keys: found.Keys, Remaining: found.Remaining, Clients: make([]Peer, len(found.Peers))}
	for i := range found.Peers {
		page.Clients[i] = PeerOf(&found.Peers[i])
	}
	if n := len(found.Peers); found.Remaining > 0 && n > 0 {
		page.Next = "?" + q.Following(&found.Peers[n-1]).Encode()
	}
	return page, nil
}
