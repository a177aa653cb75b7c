package mesh

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/retry"
)

const (
	lookupTimeout = 5 * time.Second

	// lookupGap is the shortest time between two look-ups of a name, however many
	// links break.
	lookupGap = 2 * time.Second

	// maxMissing is how many look-ups in a row must miss a target before its link is
	// ended: the link itself shows that the sibling is there.
	maxMissing = 3

	maxTargets = 256
)

// A discovery keeps links to whatever a DNS name leads to.
type discovery struct {
	// Set once.
	mesh *Mesh
	name string // as configured
	find func(context.Context) ([]target, error)

	sooner chan struct{} // asks for a look-up before its time

	// Owned by run.
	listed  map[target]*listing
	pace    retry.Backoff // after look-ups that failed
	failing bool          // the last look-up failed, and the operator was told
	running sync.WaitGroup
}

// A listing is a target that the name leads to, or led to not long ago.
type listing struct {
	keeper  *keeper
	cancel  context.CancelFunc
	missing int // look-ups in a row without it
}

// newDNS returns the discovery of all addresses of a name.
func (m *Mesh) newDNS(text string) (*discovery, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsAny(text, "=/") && !strings.Contains(text, "://") {
		return nil, errors.New("want name or name:port, or http://name:port for siblings without TLS")
	}
	rest, plain, err := cutScheme(text)
	if err != nil {
		return nil, err
	}
	e := Entry{Name: text, Plain: plain}
	if e.Host, e.Port, err = parseHostPort(rest, plain); err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(e.Host); err == nil {
		return nil, errors.New("it is an address, there is nothing to look up: make it one of the siblings that are named one by one")
	}
	return m.newDiscovery(text, func(ctx context.Context) ([]target, error) {
		found, err := m.config.LookupNetIP(ctx, "ip", e.Host)
		var targets []target
		for _, addr := range distinct(found) {
			targets = append(targets, target{e, addr})
		}
		return targets, err
	}), nil
}

// newSRV returns the discovery of all hosts and ports that the SRV records of a
// name tell.
func (m *Mesh) newSRV(text string) (*discovery, error) {
	name := strings.TrimSpace(text)
	if _, err := netip.ParseAddr(name); err == nil || !validHost(name) {
		return nil, errors.New("want a name that has SRV records, without port, such as _derp._tcp.example.com")
	}
	return m.newDiscovery(name, func(ctx context.Context) ([]target, error) {
		_, records, err := m.config.LookupSRV(ctx, "", "", name)
		var targets []target
		for _, record := range records {
			host := strings.ToLower(strings.TrimSuffix(record.Target, "."))
			if !validHost(host) || record.Port == 0 {
				continue // the root: there is no such service
			}
			e := Entry{Name: net.JoinHostPort(host, strconv.Itoa(int(record.Port))), Host: host, Port: record.Port}
			targets = append(targets, target{Entry: e})
		}
		return targets, err
	}), nil
}

func (m *Mesh) newDiscovery(name string, find func(context.Context) ([]target, error)) *discovery {
	return &discovery{
		mesh: m, name: name, find: find, sooner: make(chan struct{}, 1),
		listed: make(map[target]*listing),
		pace:   retry.Backoff{First: min(lookupGap, m.config.Refresh), Most: m.config.Refresh},
	}
}

// lookSooner asks for a look-up now: a sibling that has moved may be known
// already.
func (d *discovery) lookSooner() {
	select {
	case d.sooner <- struct{}{}:
	default:
	}
}

// run looks the name up until ctx is done, and waits for its keepers.
func (d *discovery) run(ctx context.Context) {
	defer d.running.Wait()
	for {
		began := time.Now()
		next := d.look(ctx)
		if !d.wait(ctx, began, next) {
			return
		}
	}
}

// look looks the name up once, adjusts the keepers, and returns the time to the
// next look-up.
func (d *discovery) look(ctx context.Context) (next time.Duration) {
	looking, cancel := context.WithTimeoutCause(ctx, lookupTimeout, errSlow)
	targets, err := d.find(looking)
	cancel()
	if ctx.Err() != nil {
		return 0
	}
	if err == nil && len(targets) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: d.name, IsNotFound: true}
	}
	if len(targets) > 0 { // some records of an answer may be bad, and the rest good
		d.report(nil)
		d.adjust(ctx, targets)
		d.pace.Reset()
		return retry.Jitter(d.mesh.config.Refresh)
	}
	d.report(err)
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) && dns.IsNotFound {
		d.adjust(ctx, nil)
	}
	return d.pace.Next()
}

// wait waits for the next look-up, which may be asked for sooner. It reports false
// if ctx is done.
func (d *discovery) wait(ctx context.Context, began time.Time, next time.Duration) bool {
	return retry.Rest(ctx, next, d.sooner) && retry.Rest(ctx, min(next, lookupGap)-time.Since(began), nil)
}

// adjust makes a keeper for each new target, and ends those of targets that have
// vanished: at once if there is no link, after three look-ups if there is. When
// the whole name has vanished, which is more often a fault of the DNS than the
// end of a region, links stay and the rest waits.
func (d *discovery) adjust(ctx context.Context, targets []target) {
	if len(targets) > maxTargets {
		d.mesh.config.Logger.Warn("a DNS name leads to too many siblings; some are left out",
			"name", d.name, "count", len(targets), "limit", maxTargets)
		targets = targets[:maxTargets]
	}
	for _, l := range d.listed {
		l.missing++
	}
	for _, to := range targets {
		if d.listed[to] == nil {
			d.listed[to] = d.keep(ctx, to)
		}
		d.listed[to].missing = 0
	}
	for to, l := range d.listed {
		linked := l.keeper.state().Status == Linked
		given := l.missing >= maxMissing
		if len(targets) > 0 && l.missing > 0 && (given || !linked) || given && !linked {
			l.cancel()
			delete(d.listed, to)
			d.mesh.dropKeeper(l.keeper)
			d.mesh.config.Logger.Info("a sibling is not listed any more", "name", d.name, "sibling", to.Name, "addr", l.keeper.state().Addr)
		}
	}
}

// keep runs a keeper for a target.
func (d *discovery) keep(ctx context.Context, to target) *listing {
	ctx, cancel := context.WithCancel(ctx)
	k := d.mesh.newKeeper(to, d)
	d.mesh.addKeeper(k)
	d.running.Go(func() { k.run(ctx) })
	return &listing{keeper: k, cancel: cancel}
}

// report logs that look-ups begin to fail, or are fine again.
func (d *discovery) report(err error) {
	switch {
	case err != nil && !d.failing:
		d.mesh.config.Logger.Warn("looking up siblings fails; those that are linked stay; trying again", "name", d.name, "reason", err)
	case err == nil && d.failing:
		d.mesh.config.Logger.Info("looking up siblings works again", "name", d.name)
	}
	d.failing = err != nil
}
