package coordserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordnats"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/text"
)

const (
	// lockLook is how often a process that takes over looks whether the one before has
	// given the state directory up.
	lockLook = 20 * time.Millisecond

	// openTime bounds the wait for an engine that others run.
	openTime = 10 * time.Second
)

// An engine is the store and the service over it.
type engine struct {
	store   coordstore.Store
	service *coord.Service
	handler http.Handler // for members and relays
	admin   http.Handler // for operators

	end   context.CancelFunc
	ended chan struct{} // closed when the service has
	once  sync.Once
	err   error // set in once
}

// exclusive reports whether the engine owns the state directory.
func (c *Config) exclusive() bool { return !c.InMemory && len(c.NATS) == 0 }

// engineWaits reports whether the engine is opened by Run only: the process before has
// it still, or it waits for the others of a cluster, which may be long.
func (s *Server) engineWaits() bool {
	return s.config.exclusive() && (s.options.Takeover.TakesOver() || len(s.config.Cluster) > 0)
}

// openEngine opens the store and begins the service. Where the process before has the
// state directory, it waits.
func (s *Server) openEngine(ctx context.Context) error {
	store, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	service, err := coord.New(coord.Config{Store: store, Name: s.config.Name, Contacts: s.contacts, OpenVerify: s.config.OpenVerify, Log: s.log})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	e := &engine{store: store, service: service, handler: service.Handler(), admin: service.AdminHandler(), ended: make(chan struct{})}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	e.end = end
	go func() {
		defer close(e.ended)
		if err := service.Run(running); err != nil && running.Err() == nil {
			s.log.Error("the service ended; so does the coordinator", "reason", err)
			s.endBeside(fmt.Errorf("the service ended: %w", err))
		}
	}()
	s.mu.Lock()
	s.engine = e
	s.mu.Unlock()
	return nil
}

// close ends the service and the store. It may be called more than once, and on nil.
func (e *engine) close() error {
	if e == nil {
		return nil
	}
	e.once.Do(func() {
		e.end()
		<-e.ended
		e.err = e.store.Close()
	})
	return e.err
}

// opened is the engine; nil: there is none yet.
func (s *Server) opened() *engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine
}

func (s *Server) openStore(ctx context.Context) (coordstore.Store, error) {
	if s.config.InMemory {
		return coordstore.NewMemory(), nil
	}
	c, err := s.config.engineConfig()
	if err != nil {
		return nil, err
	}
	c.Logger = s.log
	if len(c.URLs) > 0 {
		return openExternal(ctx, c)
	}
	for {
		store, err := coordnats.Open(ctx, c)
		switch {
		case err == nil:
			return store, nil
		case errors.Is(err, coordnats.ErrAddress):
			return nil, failed("cluster", err, "stop what listens there, or give this one another address in {cluster}, at all of them")
		case !errors.Is(err, coordnats.ErrInUse):
			return nil, failed("state-dir", err, "")
		case !s.options.Takeover.TakesOver():
			return nil, failed("state-dir", err, "name another {state-dir}, or stop the other coordinator")
		}
		select {
		case <-time.After(lockLook):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// openExternal returns a nil interface with an error.
func openExternal(ctx context.Context, c coordnats.Config) (coordstore.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	store, err := coordnats.Open(ctx, c)
	if err != nil {
		return nil, failed("nats", err, "is it running with JetStream, and are these its URLs and credentials?")
	}
	return store, nil
}

// engineConfig reads the files that the settings of the engine name.
func (c *Config) engineConfig() (e coordnats.Config, err error) {
	switch {
	case c.InMemory:
		return e, nil
	case len(c.NATS) > 0:
		return c.externalConfig()
	}
	dir, err := front.StateDir(c.Front.StateDir, StateSub)
	if err != nil {
		return e, err
	}
	e.Dir = filepath.Join(dir, "engine")
	if len(c.Cluster) == 0 {
		return e, nil
	}
	nodes, err := c.nodes()
	if err != nil {
		return e, err
	}
	e.Cluster = &coordnats.Cluster{Name: c.Name, Routes: make(map[string]string)}
	for _, n := range nodes {
		e.Cluster.Routes[n.Name] = n.Addr
	}
	if e.Cluster.Secrets, err = readSecrets(c.ClusterSecret); err != nil {
		return e, wrongFile("cluster-secret", err)
	}
	return e, nil
}

func (c *Config) externalConfig() (e coordnats.Config, err error) {
	e.URLs = c.NATS
	if c.NATSCredentials != "" {
		if _, err := smallfile.Read(c.NATSCredentials, mostSecrets); err != nil {
			return e, wrongFile("nats-credentials", err)
		}
		e.CredentialsFile = c.NATSCredentials
	}
	if c.NATSCA != "" {
		e.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if e.TLS.RootCAs, err = certs.ReadRoots(c.NATSCA); err != nil {
			return e, wrongFile("nats-ca", err)
		}
	}
	return e, nil
}

func wrongFile(setting string, err error) error {
	e := wrong(setting, "", "")
	e.Err = err
	return e
}

const (
	mostSecrets = 64 << 10
	leastSecret = 32 // characters
)

// readSecrets reads a secret a line; the first is used, all are accepted.
func readSecrets(path string) (all [][]byte, err error) {
	data, err := smallfile.Read(path, mostSecrets)
	if err != nil {
		return nil, err
	}
	if data, err = text.DecodeASCII(data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i, line := range text.Lines(data) {
		if len(line) < leastSecret {
			return nil, fmt.Errorf(`%s: secret %d has %d characters, and needs %d: make one with "openssl rand -hex 32"`, path, i+1, len(line), leastSecret)
		}
		all = append(all, []byte(line))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf(`%s: there is no secret in it: make one with "openssl rand -hex 32"`, path)
	}
	return all, nil
}
