package relaypage

import (
	"context"
	"embed"
	"net/http"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/history"
	"github.com/detour-relay/detour/internal/page"
	"github.com/detour-relay/detour/internal/signin"
	"github.com/detour-relay/detour/relay"
)

//go:embed *.html
var templates embed.FS

// Config is what a [Page] is made from. All of it is required.
type Config struct {
	Status   func() admin.Status
	Counters func(*relay.Counters) // reads them; quick: it is asked every two seconds
	Explain  func() string         // why the relay wants no peers; empty: it wants some
	Peers    func(yield func(relay.PeerState) bool)
	Name     func() string // of the relay; empty: it has none
	Next     http.Handler  // answers what is no page

	History func(history.Query) (*history.Answer, error) // as that of admin.Config

	Desk     *signin.Desk
	Orders   *control.Handler // follows what those say who are signed in
	HasToken func() bool      // Try may say yes
	Try      func(w http.ResponseWriter, r *http.Request, token string) (status int, why string)
}

// A Page answers those who look. Its methods may be called by any goroutine.
type Page struct {
	config Config
	set    *page.Set
	pulse  pulse
	status fresh[admin.Status]
	charts fresh[[]page.Chart] // of what the history has
}

// New returns the page of a relay.
func New(config Config) (*Page, error) {
	set, err := page.New(templates, signin.Templates)
	if err != nil {
		return nil, err
	}
	p := &Page{config: config, set: set}
	p.status.keep, p.charts.keep = time.Second, time.Minute/2
	return p, nil
}

// Run watches the traffic until ctx is done.
func (p *Page) Run(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	var now relay.Counters
	for {
		p.config.Counters(&now)
		p.pulse.note(time.Now(), &now)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Public is for the loopback address: all who can ask may look.
func (p *Page) Public() http.Handler { return p.behind(false) }

// Private is for the network: it shows nothing to those who are not signed in.
func (p *Page) Private() http.Handler { return p.behind(true) }

func (p *Page) behind(private bool) http.Handler {
	return signin.Door{
		Desk: p.config.Desk, Set: p.set, Who: who, Private: private, Next: p.serve, HasToken: p.config.HasToken, Try: p.config.Try,
	}
}

// serve answers at the paths of the page; s is nil for who may only look.
func (p *Page) serve(w http.ResponseWriter, r *http.Request, s *signin.Session) {
	if deed, known := deeds[r.URL.Path]; known {
		p.do(w, r, s, deed)
		return
	}
	show, known := map[string]func(http.ResponseWriter, *http.Request, *signin.Session){"/": p.overview, "/clients": p.clients, "/client": p.client}[r.URL.Path]
	switch {
	case !known && p.set.ServeAsset(w, r):
	case !known:
		p.config.Next.ServeHTTP(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET or HEAD", http.StatusMethodNotAllowed)
	default:
		if end, ok := p.set.Begin(w); ok {
			defer end()
			show(w, r, s)
		}
	}
}

const who = "Detour relay"

// frame is what stands around each page.
func (p *Page) frame(title, here string, s *signin.Session, body any) page.Frame {
	f := page.Frame{Title: title, Who: who, Name: p.config.Name(), SignIn: true, Body: body}
	for _, l := range []page.Link{{To: "./", Text: "Overview"}, {To: "clients", Text: "Clients"}} {
		l.Here = l.To == here
		f.Links = append(f.Links, l)
	}
	if s != nil {
		f.Signed = &page.Signed{Proof: s.Proof}
		f.Note, f.Wrong = s.Told()
	}
	return f
}

// now is the status, at most a second old: many who look cost no more than one.
func (p *Page) now() admin.Status { return p.status.get(p.config.Status) }

// fresh keeps a value for a while.
type fresh[T any] struct {
	keep time.Duration // set once

	mu    sync.Mutex
	made  time.Time // guarded by mu, as value
	value T
}

func (f *fresh[T]) get(make func() T) T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made.IsZero() || time.Since(f.made) >= f.keep {
		f.value, f.made = make(), time.Now()
	}
	return f.value
}

// forget has the next value made anew.
func (f *fresh[T]) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made = time.Time{}
}
