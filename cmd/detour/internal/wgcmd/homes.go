package wgcmd

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/mapfeed"
	"github.com/detour-relay/detour/key"
)

const (
	// maxAge is how long a packet of a tunnel is worth sending.
	maxAge = 200 * time.Millisecond

	// homeTime is how long the first packets wait for a relay.
	homeTime = 3 * time.Second

	// How often a map is looked at again.
	fileInterval = time.Second
	urlInterval  = 5 * time.Minute
)

// A home is what one --home says. region is a number, or a code.
type home struct {
	peer   key.Public
	region string
}

// parseHomes reads KEY=REGION. The keys of WireGuard end in "=" themselves.
func parseHomes(texts []string) (all []home, err error) {
	known := make(map[key.Public]string)
	for _, text := range texts {
		i := strings.LastIndexByte(text, '=')
		if i < 0 || i == len(text)-1 {
			return nil, cli.Usagef("--home %s: want KEY=REGION: a peer's public key as \"wg show\" prints it, and the number or code of a region", text)
		}
		k, err := parseKey(text[:i])
		if err != nil {
			return nil, cli.Usagef("--home %s: %w", text, err)
		}
		h := home{k, text[i+1:]}
		if before, twice := known[k]; twice && before != h.region {
			return nil, cli.Usagef("--home %s: this peer is in %s already: leave one out", text, before)
		}
		known[k] = h.region
		all = append(all, h)
	}
	return all, nil
}

var errNotKey = errors.New("this is no public key: want 44 characters of base64 as \"wg show\" prints them, or nodekey: and 64 hex digits")

// parseKey reads a public key, as WireGuard or as relays write it.
func parseKey(text string) (k key.Public, err error) {
	if k, err = key.ParsePublic(text); err == nil && !k.IsZero() {
		return k, nil
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(k) || bytes.Equal(raw, make([]byte, len(k))) {
		return key.Public{}, errNotKey
	}
	return key.Public(raw), nil
}

// wireGuard is a key as WireGuard prints it.
func wireGuard(k key.Public) string { return base64.StdEncoding.EncodeToString(k[:]) }

// A fixed way knows the homes from the command line, and the relays from a map.
type fixed struct {
	homes map[key.Public]int
	first *derpmap.Map
	watch func(ctx context.Context, on func(*derpmap.Map))
}

func (s *session) byHomes(homes []home) error {
	source, err := s.mapSource()
	if err != nil {
		return err
	}
	text, err := source.Read(s.cmd.Context())
	switch {
	case err != nil && s.cmd.Context().Err() != nil:
		return nil
	case err != nil && mapfeed.IsURL(s.flags.mapName):
		return cli.ExplainMap(s.flags.mapName, s.flags.CA() != "", err)
	case errors.Is(err, fs.ErrNotExist):
		return cli.Unansweredf("%w: name a file or a URL", err)
	case err != nil:
		return cli.Unansweredf("%w", err)
	}
	w := &fixed{homes: make(map[key.Public]int)}
	if w.first, err = text.Load(); err != nil {
		return cli.Unansweredf("%w", err)
	}
	for _, h := range homes {
		if w.homes[h.peer], err = findRegion(w.first, h.region); err != nil {
			return cli.Usagef("--home %s=%s: %w", wireGuard(h.peer), h.region, err)
		}
	}
	w.watch = func(ctx context.Context, on func(*derpmap.Map)) { s.watchMap(ctx, source, on) }
	return s.run(s.cmd.Context(), w, nil)
}

// findRegion finds a region by its number or its code.
func findRegion(m *derpmap.Map, text string) (int, error) {
	id, err := strconv.Atoi(text)
	var all []string
	for _, r := range m.IDs() {
		code := m.Regions[r].RegionCode
		if err == nil && r == id || err != nil && code == text {
			return r, nil
		}
		all = append(all, fmt.Sprintf("%d %s", r, code))
	}
	return 0, fmt.Errorf("the map has no such region: it has %s", strings.Join(all, ", "))
}

func (s *session) mapSource() (*mapfeed.Source, error) {
	cfg := mapfeed.SourceConfig{Name: s.flags.mapName, DialContext: s.marker.Dialer().DialContext}
	if s.flags.mapName == mapfeed.Stdin {
		return nil, cli.Usagef("--map -: standard input can be read only once, and the map is looked at again: put it into a file")
	}
	if ca := s.flags.CA(); ca != "" {
		if !mapfeed.IsURL(s.flags.mapName) {
			return nil, cli.Usagef("--ca has no effect without a coordinator or a map from an https URL: leave it out")
		}
		var err error
		if cfg.RootCAs, err = cli.ReadRoots("--ca", ca); err != nil {
			return nil, err
		}
	}
	source, err := mapfeed.NewSource(cfg)
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	return source, nil
}

// watchMap looks for other maps until ctx ends.
func (s *session) watchMap(ctx context.Context, source *mapfeed.Source, on func(*derpmap.Map)) {
	interval := time.Duration(fileInterval)
	if source.Whole() {
		interval = urlInterval
	}
	handler := new(mapfeed.Handler)
	feed, err := mapfeed.NewFeed(mapfeed.FeedConfig{
		Read: source.Read, Whole: source.Whole(), Force: true, Handler: handler, Logger: s.log, Interval: interval,
		Served: func() { on(handler.Map()) },
	})
	if err == nil {
		feed.Watch(ctx)
	}
}

// host connects with the key of the device, which has its home where --home says of it, if
// it does.
func (w *fixed) host(k key.Private, cfg client.HostConfig) (*client.Host, error) {
	own := w.homes[k.Public()]
	cfg.Key, cfg.Map = k, atHome(w.first, own)
	cfg.WatchMap = func(ctx context.Context, on func(*derpmap.Map, error)) {
		w.watch(ctx, func(m *derpmap.Map) { on(atHome(m, own), nil) })
		<-ctx.Done()
	}
	h, err := client.NewHost(cfg)
	if err != nil {
		return nil, err
	}
	for peer, region := range w.homes {
		h.SetPeerHome(peer, region)
	}
	return h, nil
}

// atHome is a map in which only one region can be home; 0: whichever is nearest.
func atHome(m *derpmap.Map, region int) *derpmap.Map {
	if region == 0 || m == nil || m.Regions[region] == nil {
		return m
	}
	m = m.Clone()
	for id, r := range m.Regions {
		if r != nil {
			r.NoMeasureNoHome = id != region
		}
	}
	return m
}

func (w *fixed) networkChanged() {}

func (w *fixed) about(k key.Public) peer { return peer{Home: w.homes[k]} }
