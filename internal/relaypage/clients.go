package relaypage

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/signin"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

const (
	pageOf = 50 // connections

	// heaviest is how connections are sorted unless somebody says otherwise.
	heaviest = "-rx"

	mostSought = 200 // characters of what is looked for
)

// A clientsBody is what clients.html shows.
type clientsBody struct {
	Find  string   // what is looked for
	Also  []chosen // besides, from a link: whole keys, networks, labels, apps
	Sort  string
	Sorts []sorting
	Found clients.Page
	Rows  []row
	First string // to the first page; empty: this is it
	Next  string // to the next one; empty: this is the last
	Wrong string
	Whole string // to the page of the key that is looked for; empty: it is none
}

// A chosen is a filter that a link has brought.
type chosen struct{ Kind, Value string }

// A sorting is an order of the rows.
type sorting struct {
	Value, Text string
	Here        bool
}

var sortings = []sorting{
	{heaviest, "most from it", false}, {"-tx", "most to it", false}, {"-dropped", "most dropped", false}, {"-queued", "longest queue", false}, {"-wait", "longest wait", false},
	{"-rtt", "longest round trip", false}, {"-limited", "held back longest", false}, {"-connected", "newest", false}, {"connected", "oldest", false},
	{"label", "label", false}, {"app", "app", false}, {"ip", "address", false}, {"key", "key", false},
}

// A row is a connection in the list, and in the page of its key.
type row struct {
	relay.PeerState
	To   string // its page
	Wait time.Duration
}

func rowOf(p relay.PeerState) row {
	return row{p, pageOfKey(p.Peer), clients.Wait(&p)}
}

func pageOfKey(k key.Public) string { return "client?key=" + url.QueryEscape(k.String()) }

func (p *Page) clients(w http.ResponseWriter, r *http.Request, s *signin.Session) {
	b := p.find(r.URL.Query(), time.Now())
	f := p.frame("Clients", "clients", s, b)
	f.Every = seldom
	status := http.StatusOK
	if b.Wrong != "" {
		status = http.StatusBadRequest
	}
	p.set.Show(w, status, "clients", f)
}

// find picks the connections that are asked for.
func (p *Page) find(asked url.Values, now time.Time) clientsBody {
	b := clientsBody{Find: strings.TrimSpace(asked.Get("find")), Sort: cmp.Or(asked.Get("sort"), heaviest)}
	if len(b.Find) > mostSought {
		b.Find, b.Wrong = "", "That is too long to be looked for."
		return b
	}
	asked.Set("sort", b.Sort)
	asked.Set("limit", strconv.Itoa(pageOf))
	for _, one := range sortings {
		one.Here = one.Value == b.Sort
		b.Sorts = append(b.Sorts, one)
	}
	q, err := clients.Parse(asked, now)
	if err != nil {
		b.Wrong = err.Error()
		return b
	}
	for _, kind := range []string{"key", "network", "label", "app"} {
		for _, value := range asked[kind] {
			b.Also = append(b.Also, chosen{kind, value})
		}
	}
	b.Found = q.Page(looking(p.config.Peers, b.Find))
	for _, one := range b.Found.Peers {
		b.Rows = append(b.Rows, rowOf(one))
	}
	b.link(asked, q)
	if k, err := key.ParsePublic(b.Find); err == nil {
		b.Whole = pageOfKey(k)
	}
	return b
}

// link leads to the first page and to the next one.
func (b *clientsBody) link(asked url.Values, q *clients.Query) {
	to := func(v url.Values) string {
		v.Del("limit")
		if b.Find != "" {
			v.Set("find", b.Find)
		}
		return "clients?" + v.Encode()
	}
	if b.Found.Remaining > 0 && len(b.Found.Peers) > 0 {
		last := &b.Found.Peers[len(b.Found.Peers)-1]
		v := q.Values()
		after, conn := q.Next(last)
		v.Set("after", after)
		v.Set("afterconn", conn)
		b.Next = to(v)
	}
	if asked.Has("after") {
		asked.Del("after")
		asked.Del("afterconn")
		b.First = to(asked)
	}
}

// looking are the connections in which a text stands, in their key, address, label or app;
// an address or a network stands in those that come from there.
func looking(peers func(func(relay.PeerState) bool), find string) func(func(relay.PeerState) bool) {
	if find == "" {
		return peers
	}
	network, err := clients.ParseNetwork(find)
	from := err == nil
	find = strings.ToLower(find)
	return func(yield func(relay.PeerState) bool) {
		for p := range peers {
			if from && network.Contains(p.Addr.Addr().Unmap().WithZone("")) || !from && stands(find, &p) {
				if !yield(p) {
					return
				}
			}
		}
	}
}

func stands(find string, p *relay.PeerState) bool {
	return strings.Contains(strings.ToLower(p.Group), find) || strings.Contains(strings.ToLower(p.AppName), find) ||
		strings.Contains(p.Peer.String(), find) || p.Addr.IsValid() && (strings.HasPrefix(strings.ToLower(p.Addr.Addr().String()), find) || strings.HasPrefix(p.Addr.String(), find))
}

// A clientBody is what client.html shows.
type clientBody struct {
	Key  key.Public
	Rows []row
	Line *control.Line // in the access list; nil: it is not there, or nobody says
	Lets bool          // the relay decides who may come in
}

// client shows a key: its connections, and what can be done about it.
func (p *Page) client(w http.ResponseWriter, r *http.Request, s *signin.Session) {
	k, err := key.ParsePublic(r.URL.Query().Get("key"))
	if err != nil {
		f := p.frame("No such key", "", s, nil)
		f.Note, f.Wrong = err.Error(), true
		p.set.Show(w, http.StatusBadRequest, "nothing", f)
		return
	}
	b := clientBody{Key: k}
	for one := range p.config.Peers {
		if one.Peer == k {
			b.Rows = append(b.Rows, rowOf(one))
		}
	}
	b.Line, b.Lets = p.config.Orders.Line(k)
	f := p.frame("Client "+k.Short(), "", s, b)
	f.Every = seldom
	p.set.Show(w, http.StatusOK, "client", f)
}
