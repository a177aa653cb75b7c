package operate

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/cmd/detour/internal/who"
	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/relay"
)

// watchFlags say which relay is looked at: one that this command may change, or one whose
// admin address only tells, derper's too.
type watchFlags struct {
	running.Target
	trust cli.TargetFlags
}

// trusting are the flags for an address.
var trusting = []string{"insecure", "ca", "cert-name"}

// A source is where a relay says who uses it.
type source struct {
	*control.Client
	at     string
	server *running.Server // nil: an address, which only tells
	path   string          // of an address
	derper bool            // it speaks derper's dialect
	failed func(error) error
}

// open finds what a command line means: nothing, or the URL of an address.
func (f *watchFlags) open(cmd *cobra.Command, target []string) (*source, error) {
	if len(target) == 0 {
		if err := cli.Unused(cmd, "without a URL", trusting...); err != nil {
			return nil, err
		}
		server, err := f.Open(cmd.Context())
		if err != nil {
			return nil, err
		}
		return &source{Client: server.Client, at: server.At, server: server, failed: server.Failed}, nil
	}
	if f.Given() {
		return nil, cli.Usagef("a URL is one way to a relay, and --admin-socket and --admin-url are others: leave one out")
	}
	return f.openAddress(target[0])
}

func (f *watchFlags) openAddress(text string) (*source, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		return nil, cli.Usagef("%q is not an admin address: write something like http://127.0.0.1:9340, or https://derper.example/debug/clients/", cli.Clean(text, 80))
	}
	s := &source{at: text, path: control.PathAdminClients}
	switch path := strings.TrimSuffix(u.Path, "/"); path + "/" {
	case "/":
	case clients.PathDebug:
		s.path, s.derper = clients.PathDebug, true
	default:
		return nil, cli.Usagef("%q: an admin address has no path, or %s", cli.Clean(text, 80), clients.PathDebug)
	}
	dial, err := f.trust.Config(text)
	if err != nil {
		return nil, err
	}
	way, err := reach.New(reach.Config{URL: text, RootCAs: dial.RootCAs, CertName: dial.CertName, InsecureSkipVerify: dial.InsecureSkipVerify})
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	s.Client = control.OverNetwork(u, way.TLSConfig(), way.Proxy, "")
	s.failed = func(err error) error {
		if err == nil || !errors.Is(err, control.ErrUnanswered) {
			return err
		}
		return f.trust.Explain(text, err)
	}
	return s, nil
}

// columns are those that it knows.
func (s *source) columns() []who.Column {
	if s.derper {
		return who.Derper()
	}
	return who.All
}

// page asks for one page; ok is false if this relay cannot be asked like that, but for
// everybody.
func (s *source) page(ctx context.Context, q *clients.Query) (page clients.Page, ok bool, err error) {
	if q.Limit == 0 || q.Limit > clients.MostLimit {
		return page, false, nil
	}
	if !s.derper {
		page, err = s.ours(ctx, q)
		if !errors.Is(err, control.ErrElse) || s.server != nil {
			return page, true, err
		}
		s.derper, s.path = true, clients.PathDebug // whoever answers is no relay of ours, but may be derper
	}
	v, ok := q.AsDerper()
	if !ok {
		return page, false, nil
	}
	page, err = s.theirs(ctx, v)
	return page, true, err
}

func (s *source) ours(ctx context.Context, q *clients.Query) (page clients.Page, err error) {
	var said control.Clients
	if s.server != nil {
		said, err = s.Clients(ctx, q.Values())
	} else {
		err = s.Get(ctx, s.path, q.Values(), &said)
	}
	page = clients.Page{Conns: said.Conns, Keys: said.Keys, Remaining: said.Remaining}
	for i := range said.Clients {
		page.Peers = append(page.Peers, said.Clients[i].State())
	}
	return page, err
}

func (s *source) theirs(ctx context.Context, v url.Values) (page clients.Page, err error) {
	var said clients.ShownPage
	err = s.Get(ctx, s.path, v, &said)
	page = clients.Page{Conns: said.Conns, Keys: said.Keys, Remaining: said.Remaining}
	for i := range said.Clients {
		page.Peers = append(page.Peers, said.Clients[i].State())
	}
	return page, err
}

// pick is the page of a query, whatever the relay can be asked.
func (s *source) pick(ctx context.Context, q *clients.Query) (clients.Page, error) {
	page, ok, err := s.page(ctx, q)
	if ok || err != nil {
		return page, s.failed(err)
	}
	if s.derper && (len(q.Labels) > 0 || !clients.DerperShows(q.Column().Name)) {
		return page, cli.Usagef("%s is a derper, which knows no labels, and none of the columns that only Detour has", s.at)
	}
	all, err := s.all(ctx)
	if err != nil {
		return page, s.failed(err)
	}
	return q.Page(func(yield func(relay.PeerState) bool) {
		for _, p := range all {
			if !yield(p) {
				return
			}
		}
	}), nil
}

// mostPages bounds what a relay is asked for that does not come to an end.
const mostPages = 10_000

// all are the connections that there are, in the order in which they came.
func (s *source) all(ctx context.Context) (all []relay.PeerState, err error) {
	if s.server != nil {
		err = s.Peers(ctx, func(p control.Peer) error { all = append(all, p.State()); return nil })
		return all, err
	}
	q := &clients.Query{Limit: clients.MostLimit}
	if err := q.SortBy("conn"); err != nil {
		return nil, err
	}
	for range mostPages {
		page, _, err := s.page(ctx, q)
		if err != nil {
			return nil, err
		}
		if all = append(all, page.Peers...); page.Remaining == 0 || len(page.Peers) == 0 {
			return all, nil
		}
		q.Follow(&page.Peers[len(page.Peers)-1])
	}
	return nil, fmt.Errorf("%w: the list does not end", control.ErrUnanswered)
}
