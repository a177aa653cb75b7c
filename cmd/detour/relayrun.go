package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/takeover"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// stopPatience bounds the end of a relay that has drained: conns are closed at
// once, so it is long only if something is stuck.
const stopPatience = 10 * time.Second

// A relayProcess is all that "detour relay" runs.
type relayProcess struct {
	log      *slog.Logger
	relay    *relay.Server
	edge     *edge.Server
	stun     *stunSide  // nil without STUN
	mesh     *mesh.Mesh // nil without siblings
	siblings *meshFlags
	source   certs.Source // nil without TLS
	admin    *admin.Handler
	health   *health.Health
	takeover *takeover.Takeover
	hangup   chan os.Signal // gets SIGHUP

	// together counts the relays of this process that end at the same time, this
	// one included: none ends before all have drained and given up their links, so
	// that none takes the end of another for a failure. Nil for a relay on its own.
	together *sync.WaitGroup

	// For operators; nil unless asked for.
	status   *sideServer
	profiles *sideServer
}

// runRelay runs a relay until ctx is done or another process has taken over.
func runRelay(ctx context.Context, f *relayFlags, stdout, stderr io.Writer) error {
	log, err := newLogger(stderr, f.logFormat, f.logLevel)
	if err != nil {
		return err
	}
	setGCPercent()
	handover, err := takeover.New()
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from before anybody is told that we are ready
	defer signal.Stop(hangup)
	p, err := startRelay(f, handover, log)
	if err != nil {
		return err
	}
	p.hangup = hangup
	p.logStart(f)
	if !handover.TakesOver() { // nobody may be reading any more where the first process wrote
		if _, err := io.WriteString(stdout, p.banner(f)); err != nil {
			return errors.Join(err, p.stop())
		}
	}
	err = p.serve(ctx, f.drain)
	log.Info("relay stopped")
	return err
}

// logStart tells the operator what has been started.
func (p *relayProcess) logStart(f *relayFlags) {
	p.log.Info("relay started", "listen", p.edge.Addr().String(), "tls", f.tls, "key", p.relay.PublicKey().String(),
		"stun", p.stun.text(), "siblings", f.mesh.names(), "pid", os.Getpid())
	f.mesh.logKeys(p.log)
}

// startRelay makes everything that can fail, in the order in which a person
// would want to hear about it.
func startRelay(f *relayFlags, takeover *takeover.Takeover, log *slog.Logger) (*relayProcess, error) {
	p := &relayProcess{log: log, takeover: takeover, siblings: &f.mesh}
	var err error
	if p.source, err = f.certificate(log); err != nil {
		return nil, err
	}
	identity, err := f.identity(log)
	if err != nil {
		return nil, err
	}
	config, err := p.tlsConfig(identity)
	if err != nil {
		return nil, err
	}
	meshKeys, err := f.mesh.keys()
	if err != nil {
		return nil, err
	}
	p.relay, err = relay.New(relay.Config{Key: identity, MeshKeys: meshKeys, WriteTimeout: orOff(f.writeTimeout), Logger: log})
	if err != nil {
		return nil, err
	}
	if p.mesh, err = f.mesh.open(p.relay, log); err != nil {
		return nil, err
	}
	if err = p.listenAll(f, config); err == nil {
		p.health, err = p.newHealth(f)
	}
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	p.admin = admin.New(admin.Config{
		Version: readBuildVersion().Version, Relay: p.relay, Edge: p.edge, Health: p.health, STUN: p.stun.snapshot, Mesh: p.meshState,
	})
	if p.status != nil {
		p.status.server.Handler = p.admin
	}
	return p, nil
}

// healthy reports whether the relay wants peers. Nobody asks before it serves.
func (p *relayProcess) healthy() bool { return p.health.Healthy() }

// tlsConfig is that of the relay's listener; nil without TLS.
func (p *relayProcess) tlsConfig(identity key.Private) (*tls.Config, error) {
	if p.source == nil {
		return nil, nil
	}
	meta, err := certs.NewMeta(identity.Public())
	if err != nil {
		return nil, err
	}
	return certs.TLSConfig(p.source, meta), nil
}

// meshState is what /status shows of the siblings.
func (p *relayProcess) meshState() any {
	if p.mesh == nil {
		return []mesh.State{}
	}
	return p.mesh.Siblings()
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
	if err == nil {
		warnOfModes(path, log)
	}
	return identity, err
}

// warnOfModes tells of a key that is not the relay's alone: who has it is the
// relay, to its peers.
func warnOfModes(path string, log *slog.Logger) {
	if smallfile.OpenToOthers(path) {
		log.Warn("every user of this machine can read the relay's private key: chmod 600 it", "file", path)
	}
	if dir := filepath.Dir(path); smallfile.WritableByOthers(dir) {
		log.Warn("every user of this machine can replace what is in the state directory: chmod 700 it", "dir", dir)
	}
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

// serve accepts connections until ctx is done or another process has taken over,
// and then sends the peers away. What runs beside it ends with it.
func (p *relayProcess) serve(ctx context.Context, drain time.Duration) error {
	beside, endBeside := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer endBeside()
	if p.source != nil {
		running.Go(func() { p.source.Run(beside) })
	}
	tidier := memoryTidier{conns: p.edge.Conns, packets: p.packets}
	running.Go(func() { tidier.run(beside) })
	running.Go(func() { p.reloadOnHangup(beside) })
	running.Go(func() { p.status.serve(p.log) })
	running.Go(func() { p.profiles.serve(p.log) })

	if p.mesh != nil {
		running.Go(func() { p.mesh.Run(beside) })
		if p.takeover.TakesOver() {
			awaitLinks(p.mesh)
		}
	}
	if err := p.takeover.Follow(beside, p.relay); err != nil {
		p.log.Warn("peers of the process before are out of reach until they have moved", "reason", err)
	}
	accepting := make(chan error, 1)
	go func() { accepting <- p.edge.Serve(beside) }()
	p.stun.start(p.log)
	p.ready()
	running.Go(func() { p.health.Run(beside) })
	p.awaitEnd(ctx, beside, drain)
	endBeside()
	p.awaitOthers()
	defer p.takeover.Wait()
	return errors.Join(p.stop(), <-accepting)
}

// ready tells those who wait for it that the relay serves.
func (p *relayProcess) ready() {
	if p.takeover.TakesOver() {
		notifyTakeover(p.log) // before the old process can end, which is the main one until then
	} else {
		notifyReady(p.log)
	}
	if err := p.takeover.Ready(); err != nil {
		p.log.Warn("the process before cannot be told that this one is ready", "reason", err)
	}
}

// awaitEnd returns when the relay has drained, after a signal or because another
// process has taken over.
func (p *relayProcess) awaitEnd(ctx, beside context.Context, drain time.Duration) {
	if p.takeover.Watch(ctx, beside, p.relay, p.log) {
		p.log.Info("another process has taken over", "drain", drain.String())
		p.closeSides() // they are the other process's now; errors do not matter any more
		p.stun.stop()  // before it becomes silent: what it hears, the other does not
		p.drain(ctx, drain)
		return
	}
	if p.together == nil {
		p.log.Info("stopping; a second signal ends the relay at once", "drain", drain.String())
	}
	notifyStopping(p.log)
	p.health.Drain()
	p.drain(context.WithoutCancel(ctx), drain)
}

// awaitOthers returns when all relays that end together are here.
func (p *relayProcess) awaitOthers() {
	if p.together != nil {
		p.together.Done()
		p.together.Wait()
	}
}

// reloadOnHangup looks at the files of the certificate and of the mesh key at
// once when SIGHUP comes. Without such files SIGHUP does nothing, in particular
// it ends nothing.
func (p *relayProcess) reloadOnHangup(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.hangup:
		}
		notifyReloading(p.log)
		p.reload(ctx)
		notifyReady(p.log)
	}
}

func (p *relayProcess) reload(ctx context.Context) {
	if p.source == nil && p.siblings.key.File == "" {
		p.log.Info("SIGHUP: nothing to reload")
	}
	if p.siblings.key.File != "" {
		p.siblings.reload(p.relay, p.log)
	}
	if p.source == nil {
		return
	}
	if err := p.source.Reload(ctx); err != nil {
		p.log.Error("SIGHUP: the new certificate cannot be used; the old one stays", "reason", err)
	} else {
		p.log.Info("SIGHUP: the certificate is up to date")
	}
}

// stop ends all conns and waits until nothing is left.
func (p *relayProcess) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	err := errors.Join(p.closeSides(), p.stun.stop(), p.relay.Shutdown(ctx))
	if p.edge != nil { // it could listen
		err = errors.Join(err, p.edge.Shutdown(ctx))
	}
	return err
}

// packets returns how many packets the relay has received. It visits every
// conn, so it is not for often.
func (p *relayProcess) packets() uint64 {
	received := p.relay.Counters().Received
	return received.Disco.Packets + received.Other.Packets
}
