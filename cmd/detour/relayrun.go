package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// stopPatience bounds the end of a relay: conns are closed at once, so it is
// long only if something is stuck.
const stopPatience = 10 * time.Second

// A relayProcess is all that "detour relay" runs.
type relayProcess struct {
	log    *slog.Logger
	relay  *relay.Server
	edge   *edge.Server
	source certs.Source // nil without TLS
	pprof  *profiler    // nil unless asked for
}

// runRelay runs a relay until ctx is done.
func runRelay(ctx context.Context, f *relayFlags, stdout, stderr io.Writer) error {
	log, err := newLogger(stderr, f.logFormat, f.logLevel)
	if err != nil {
		return err
	}
	setGCPercent()
	p, err := startRelay(f, log)
	if err != nil {
		return err
	}
	log.Info("relay started", "listen", p.edge.Addr().String(), "tls", f.tls, "key", p.relay.PublicKey().String())
	if _, err := io.WriteString(stdout, p.banner(f)); err != nil {
		return errors.Join(err, p.stop())
	}
	err = p.serve(ctx)
	began := time.Now()
	err = errors.Join(err, p.stop())
	log.Info("relay stopped", "took", time.Since(began).String())
	return err
}

// startRelay makes everything that can fail, in the order in which a person
// would want to hear about it.
func startRelay(f *relayFlags, log *slog.Logger) (*relayProcess, error) {
	p := &relayProcess{log: log}
	var err error
	if p.source, err = f.certificate(log); err != nil {
		return nil, err
	}
	identity, err := f.identity(log)
	if err != nil {
		return nil, err
	}
	var config *tls.Config
	if p.source != nil {
		meta, err := certs.NewMeta(identity.Public())
		if err != nil {
			return nil, err
		}
		config = certs.TLSConfig(p.source, meta)
	}
	p.relay, err = relay.New(relay.Config{Key: identity, WriteTimeout: orOff(f.writeTimeout), Logger: log})
	if err != nil {
		return nil, err
	}
	if p.pprof, err = newProfiler(f.pprof); err != nil {
		return nil, fmt.Errorf("--pprof: %w", err)
	}
	p.edge, err = edge.Listen(edge.Config{
		Relay:           p.relay,
		Listen:          f.listen,
		TLS:             config,
		Home:            f.home,
		AcceptPerSecond: f.acceptLimit,
		AcceptBurst:     f.acceptBurst,
		MaxPending:      f.maxPending,
		KeepAlive:       orOff(f.keepAlive),
		UserTimeout:     orOff(f.userTimeout),
		Logger:          log,
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: stop what listens there, or choose another address with --listen", err)
	}
	if err != nil {
		return nil, errors.Join(err, p.pprof.close())
	}
	return p, nil
}

// identity loads or makes the relay's private key.
func (f *relayFlags) identity(log *slog.Logger) (key.Private, error) {
	if f.dev {
		return key.NewPrivate(), nil
	}
	path := f.relayKey
	if path == "" {
		dir, err := f.stateDirectory()
		if err != nil {
			return key.Private{}, err
		}
		path = filepath.Join(dir, "relay.key")
	}
	identity, created, err := key.LoadOrCreateFile(path)
	if created {
		log.Info("made a key for the relay", "file", path)
	}
	return identity, err
}

// certificate opens the source of the TLS mode; nil without TLS.
func (f *relayFlags) certificate(log *slog.Logger) (certs.Source, error) {
	switch f.tls {
	case tlsFiles:
		return certs.OpenFiles(certs.FilesConfig{CertFile: f.cert, KeyFile: f.key, Host: f.hostname, Logger: log})
	case tlsSelf:
		dir, err := f.stateDirectory()
		if err != nil {
			return nil, err
		}
		return certs.OpenSelf(certs.SelfConfig{Host: f.hostname, StateDir: dir, Logger: log})
	}
	return nil, nil
}

func (f *relayFlags) stateDirectory() (string, error) {
	if f.stateDir != "" {
		return f.stateDir, nil
	}
	return defaultStateDir()
}

// serve accepts connections until ctx is done. What runs beside it ends with it.
func (p *relayProcess) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	if p.source != nil {
		beside.Go(func() { p.source.Watch(ctx) })
	}
	tidier := memoryTidier{conns: p.edge.Conns, packets: p.packets}
	beside.Go(func() { tidier.run(ctx) })
	beside.Go(func() { p.reloadOnHangup(ctx) })
	beside.Go(func() { p.pprof.serve(p.log) })
	defer p.pprof.close()
	return p.edge.Serve(ctx)
}

// reloadOnHangup looks at the certificate files at once when SIGHUP comes. In
// other TLS modes SIGHUP does nothing, in particular it ends nothing.
func (p *relayProcess) reloadOnHangup(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		files, ok := p.source.(*certs.Files)
		if !ok {
			p.log.Info("SIGHUP: nothing to reload")
		} else if err := files.Reload(); err != nil {
			p.log.Error("SIGHUP: the new certificate cannot be used; the old one stays", "reason", err)
		} else {
			p.log.Info("SIGHUP: the certificate files are up to date")
		}
	}
}

// stop ends all conns and waits until nothing is left.
func (p *relayProcess) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	return errors.Join(p.pprof.close(), p.relay.Shutdown(ctx), p.edge.Shutdown(ctx))
}

// packets returns how many packets the relay has received. It visits every
// conn, so it is not for often.
func (p *relayProcess) packets() uint64 {
	received := p.relay.Snapshot().Received
	return received.Disco.Packets + received.Other.Packets
}
