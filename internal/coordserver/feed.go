package coordserver

import (
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/mapfeed"
	"github.com/detour-relay/detour/internal/text"
)

// How often another map is looked for. A file counts when two looks have found the same,
// and members have it within a second.
const (
	fileLook = 400 * time.Millisecond
	urlLook  = time.Minute
)

// openFeed reads the first map, if this coordinator is told where it is.
func (s *Server) openFeed() error {
	if s.config.Map == "" || s.options.Map != nil {
		return nil
	}
	source, err := s.config.mapSource()
	if err != nil {
		return err
	}
	look := fileLook
	if source.Whole() {
		look = urlLook
	}
	s.maps = new(mapfeed.Handler)
	s.feed, err = mapfeed.NewFeed(mapfeed.FeedConfig{
		Read: source.Read, Whole: source.Whole(), Handler: s.maps, Logger: s.log, Interval: look, Served: s.passMap, Hangup: s.look,
	})
	if err == nil {
		_, err = s.feed.Open(s.beside)
	}
	if err != nil {
		return wrongFile("map", err)
	}
	return nil
}

func (c *Config) mapSource() (*mapfeed.Source, error) {
	cfg := mapfeed.SourceConfig{Name: c.Map}
	if c.MapCA != "" {
		var err error
		if cfg.RootCAs, err = certs.ReadRoots(c.MapCA); err != nil {
			return nil, wrongFile("map-ca", err)
		}
	}
	source, err := mapfeed.NewSource(cfg)
	if err != nil {
		return nil, wrongFile("map", err)
	}
	return source, nil
}

// startFeed has the service get its map from where the settings say, once there is one.
func (s *Server) startFeed() {
	if e := s.opened(); e != nil && s.options.Map != nil {
		s.handOut(e, s.options.Map, "the program")
	}
	if s.feed != nil && s.opened() != nil {
		s.passMap()
		s.running.Go(func() { s.feed.Watch(s.beside) })
	}
}

// passMap hands the map to the service, which writes it when it can.
func (s *Server) passMap() {
	if e := s.opened(); e != nil { // else it gets the map when it is there
		s.handOut(e, s.maps.Map(), text.RedactURL(s.config.Map))
	}
}

func (s *Server) handOut(e *engine, m *derpmap.Map, from string) {
	if err := e.service.SetMap(m, from); err != nil {
		s.log.Error("the map is not handed out; the one before stays", "reason", err)
	}
}

// mapProblem is why the map of the settings is not the one that is handed out.
func (s *Server) mapProblem(e *engine) string {
	if s.feed != nil {
		if err := s.feed.Problem(); err != nil {
			return err.Error()
		}
	}
	if e == nil {
		return ""
	}
	return e.service.Snapshot().MapError
}
