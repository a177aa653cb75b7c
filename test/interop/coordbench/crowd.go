package coordbench

import (
	"context"
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/detour-relay/detour/internal/coordload"
)

// loginsAtOnce is how many members log in, or connect, at a time.
const loginsAtOnce = 250

// crowdMemory is from where on the crowd's garbage is collected.
const crowdMemory = 3 << 30

// crowd imports tailnets with so many members each, and logs all in.
func (p *Place) crowd(ctx context.Context, all []*coordinator, nets, perNet int) (*coordload.Crowd, error) {
	members, err := p.importedMembers(ctx, all, nets, perNet)
	if err != nil {
		return nil, err
	}
	return p.loggedIn(ctx, addrsOf(all), members)
}

func (p *Place) importedMembers(ctx context.Context, all []*coordinator, nets, perNet int) (members []*coordload.Member, err error) {
	err = p.imported(ctx, all[0], func(w io.Writer) (err error) {
		members, err = coordload.WriteExport(w, nets, perNet)
		return err
	})
	return members, err
}

// loggedIn makes a crowd of members, and logs all in.
func (p *Place) loggedIn(ctx context.Context, addrs []string, members []*coordload.Member) (*coordload.Crowd, error) {
	crowd, err := newCrowd(addrs, members)
	if err != nil {
		return nil, err
	}
	debug.SetGCPercent(-1) // the crowd is to cost as little as it can: it shares the machine
	debug.SetMemoryLimit(crowdMemory)
	began := time.Now()
	if err := crowd.Each(ctx, loginsAtOnce, crowd.LogIn); err != nil {
		return nil, err
	}
	p.Talk("  %d members have logged in, %.1f s", len(members), time.Since(began).Seconds())
	return crowd, nil
}

func newCrowd(addrs []string, members []*coordload.Member) (*coordload.Crowd, error) {
	return coordload.New(coordload.Config{Addrs: addrs, Boot: 1, TLS: &tls.Config{
		InsecureSkipVerify: true, // the certificate is of our own making
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
		CurvePreferences:   []tls.CurveID{tls.X25519}, // a coordinator chooses it when it resumes, whatever else is offered
	}}, members)
}

// imported has a coordinator import what write writes.
func (p *Place) imported(ctx context.Context, c *coordinator, write func(io.Writer) error) error {
	path := filepath.Join(c.dir, "import.json")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer file.Close()
	if err := write(file); err != nil {
		return err
	}
	began := time.Now()
	stop := p.progress(ctx, c, began)
	err = c.net(ctx, "import", path)
	stop()
	if err != nil {
		return err
	}
	p.Talk("  imported, %.1f s", time.Since(began).Seconds())
	return nil
}

// progressEach is how often an import that takes long tells how far it is.
const progressEach = 20 * time.Second

// progress tells how far an import is, until stop.
func (p *Place) progress(ctx context.Context, c *coordinator, began time.Time) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for pause(ctx, progressEach) {
			if s, err := c.state(ctx); err == nil {
				p.Talk("  %d members are imported, %.0f s", s.Service.Members, time.Since(began).Seconds())
			}
		}
	}()
	return func() { cancel(); <-ended }
}
