package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/acme/acmetest"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/logtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"), // never ends
	)
}

// within waits for what comes about by itself.
func within(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about: %s", what)
		}
	}
}

// A logbook is a log that can be read.
type logbook struct{ logtest.Log }

func (l *logbook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// A relay is a listener that shows what a source has, as a relay's does.
type relay struct {
	*Source
	listener net.Listener
	log      *logbook
}

// listen returns a listener for one, whose port the authority is to be told.
func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, int(netip.MustParseAddrPort(l.Addr().String()).Port())
}

// start opens a source and runs it behind a listener; nil: it has none.
func start(t *testing.T, l net.Listener, c Config) *relay {
	t.Helper()
	r := &relay{listener: l, log: new(logbook)}
	c.Logger = r.log.logger()
	if c.First == 0 {
		c.First, c.Most = 20*time.Millisecond, 20*time.Millisecond
	}
	if c.Storage == nil {
		c.Storage = NewFiles(t.TempDir())
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	r.Source = s
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	if l != nil {
		running.Go(r.serve)
	}
	t.Cleanup(func() {
		cancel()
		if l != nil {
			l.Close()
		}
		running.Wait()
		if t.Failed() {
			t.Log(r.log)
		}
	})
	return r
}

// serve has one handshake after the other.
func (r *relay) serve() {
	var running sync.WaitGroup
	defer running.Wait()
	secure := certs.TLSConfig(r.Source, nil)
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute))
			tls.Server(conn, secure).Handshake()
		})
	}
}

// shown is the leaf that a peer sees which dials a name or address; the error is why it
// trusts it not.
func (r *relay) shown(host string, roots *x509.CertPool) (*x509.Certificate, error) {
	conn, err := tls.Dial("tcp", r.listener.Addr().String(), &tls.Config{ServerName: host, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func (r *relay) whole() bool { return r.Missing() == "" }

func authority(t *testing.T, o acmetest.Options) (*acmetest.Authority, Config) {
	t.Helper()
	a := acmetest.Start(t, o)
	return a, Config{Directory: a.Directory, Roots: a.Web}
}

// A flawed storage fails where it is told to.
type flawed struct {
	certmagic.Storage
	mu   sync.Mutex
	fail func(op, key string) error // guarded by mu
}

func (f *flawed) told(op, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		return nil
	}
	return f.fail(op, key)
}

func (f *flawed) tell(fail func(op, key string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *flawed) Store(ctx context.Context, key string, value []byte) error {
	if err := f.told("store", key); err != nil {
		return err
	}
	return f.Storage.Store(ctx, key, value)
}

func (f *flawed) Load(ctx context.Context, key string) ([]byte, error) {
	if err := f.told("load", key); err != nil {
		return nil, err
	}
	return f.Storage.Load(ctx, key)
}

func has(err error, want string) bool { return err != nil && strings.Contains(err.Error(), want) }

var errDenied = &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}

var errOther = errors.New("the disk is on fire")

func hello(name string) *tls.ClientHelloInfo { return &tls.ClientHelloInfo{ServerName: name} }
