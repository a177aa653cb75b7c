package relaypage

import (
	"context"
	"embed"
	"net/http"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/history"
	"github.com/detour-relay/detour/internal/page"
	"github.com/detour-relay/detour/relay"
)

//go:embed *.html
var templates embed.FS

// Config is what a [Page] is made from. All of it is required.
type Config struct {
	Status   func() admin.Status
	Counters func() relay.Counters // quick: it is asked every two seconds
	Explain  func() string         // why the relay wants no peers; empty: it wants some
	Peers    func(yield func(relay.PeerState) bool)
	Name     func() string // of the relay; empty: it has none
	Next     http.Handler  // answers what is no page

	History func(history.Query) (*history.Answer, error) // as that of admin.Config
}

// A Page answers those who look. Its methods may be called by any goroutine.
type Page struct {
	config Config
	set    *page.Set
	pulse  pulse
	status fresh[admin.Status]
	charts fresh[[]page.Chart] // of the last day
}

// New returns the page of a relay.
func New(config Config) (*Page, error) {
	set, err := page.New(templates)
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
	for {
		p.pulse.note(time.Now(), p.config.Counters())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var show func(http.ResponseWriter, *http.Request)
	switch r.URL.Path {
	case "/":
		show = p.overview
	default:
		if !p.set.ServeAsset(w, r) {
			p.config.Next.ServeHTTP(w, r)
		}
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	if end, ok := p.set.Begin(w); ok {
		defer end()
		show(w, r)
	}
}

// frame is what stands around each page.
func (p *Page) frame(title, here string, body any) page.Frame {
	f := page.Frame{Title: title, Who: "Detour relay", Name: p.config.Name(), Body: body}
	for _, l := range []page.Link{{To: "./", Text: "Overview"}} {
		l.Here = l.To == here
		f.Links = append(f.Links, l)
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
