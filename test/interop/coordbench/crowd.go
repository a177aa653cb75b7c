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
const loginsAtOnce = 64

// crowd imports tailnets with so many members each, and logs all in.
func (p *Place) crowd(ctx context.Context, all []*coordinator, nets, perNet int) (*coordload.Crowd, error) {
	var members []*coordload.Member
	err := p.imported(ctx, all[0], func(w io.Writer) (err error) {
		members, err = coordload.WriteExport(w, nets, perNet)
		return err
	})
	if err != nil {
		return nil, err
	}
	crowd, err := coordload.New(coordload.Config{Addrs: addrsOf(all), Boot: 1, TLS: &tls.Config{
		InsecureSkipVerify: true, // the certificate is of our own making
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}}, members)
	if err != nil {
		return nil, err
	}
	debug.SetGCPercent(400) // the crowd is to cost as little as it can: it shares the machine
	began := time.Now()
	if err := crowd.Each(ctx, loginsAtOnce, crowd.LogIn); err != nil {
		return nil, err
	}
	p.Talk("  %d members have logged in, %.1f s", nets*perNet, time.Since(began).Seconds())
	return crowd, nil
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
	if err := c.net(ctx, "import", path); err != nil {
		return err
	}
	p.Talk("  imported, %.1f s", time.Since(began).Seconds())
	return nil
}
