package health

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// timeout bounds every wait of a test for something that must happen.
const timeout = time.Minute

const name = "relay.example" // which leads nowhere

// A target is a relay with a certificate for name.
type target struct {
	relay *relay.Server
	edge  *edge.Server
	cert  *certs.Self
}

func startTarget(t *testing.T) *target {
	t.Helper()
	secret := key.NewPrivate()
	r, err := relay.New(relay.Config{Key: secret})
	if err != nil {
		t.Fatal(err)
	}
	source := selfSigned(t, name)
	meta, err := certs.NewMeta(secret.Public())
	if err != nil {
		t.Fatal(err)
	}
	e, err := edge.Listen(edge.Config{Relay: r, Listen: "127.0.0.1:0", TLS: certs.TLSConfig(source, meta)})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.Serve(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := errors.Join(r.Shutdown(ctx), e.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	return &target{r, e, source}
}

func selfSigned(t *testing.T, host string) *certs.Self {
	t.Helper()
	source, err := certs.OpenSelf(certs.SelfConfig{Host: host, StateDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func (r *target) leaf() *x509.Certificate { return r.cert.Describe().Leaf }

// roots trusts the certificate as an authority's.
func roots(certificate *x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return pool
}

// trip is a round trip that must go well.
func (r *target) trip() RoundTrip {
	return RoundTrip{
		Login: func() client.Config {
			return client.Config{URL: "https://" + name, ServerKey: r.relay.PublicKey(), RootCAs: roots(r.leaf())}
		},
		Addr: r.edge.Addr().String(),
	}
}

func (trip RoundTrip) with(change func(*client.Config)) RoundTrip {
	login := trip.Login
	trip.Login = func() client.Config {
		config := login()
		change(&config)
		return config
	}
	return trip
}

func check(t *testing.T, trip RoundTrip) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return trip.Check(ctx)
}

func TestRoundTrip(t *testing.T) {
	r := startTarget(t)
	pin := r.cert.Describe().Pin
	trip := r.trip()
	pinned := trip.with(func(c *client.Config) { c.CertName, c.RootCAs = pin, nil })
	for name, trip := range map[string]RoundTrip{"by authority": trip, "by pin": pinned} {
		if err := check(t, trip); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	got := r.relay.Counters().Received
	if packets := got.Disco.Packets + got.Other.Packets; packets != 4 {
		t.Errorf("the relay got %d packets, want one each way in two checks", packets)
	}
	for deadline := time.Now().Add(timeout); r.relay.Counters().Conns != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a check leaves conns behind")
		}
	}
}

func TestRoundTripFails(t *testing.T) {
	r := startTarget(t)
	trip := r.trip()
	other := selfSigned(t, name).Describe().Leaf
	pin := selfSigned(t, name).Describe().Pin
	noTLS := startServer(t, false)
	stranger := startServer(t, true)
	web := trip.with(func(c *client.Config) { c.URL = "https://" + name + "/nothing" })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()

	for name, c := range map[string]struct {
		trip  RoundTrip
		place error // that this relay was not met at all
		want  error
		text  string
	}{
		"nothing listens":        {trip.at(closed.Addr()), ErrOutOfReach, nil, "connection refused"},
		"no such name":           {trip.with(func(c *client.Config) { c.URL = "https://nowhere.invalid" }).at(nil), ErrOutOfReach, nil, "nowhere.invalid"},
		"a plain web server":     {trip.at(noTLS), ErrUnproven, nil, "has not proven to be this relay"},
		"a web server":           {trip.at(stranger), ErrUnproven, client.ErrCertificate, "has not proven to be this relay"},
		"another pin":            {trip.with(func(c *client.Config) { c.CertName = pin }), ErrUnproven, client.ErrPinMismatch, "has not proven to be this relay"},
		"another relay":          {trip.with(func(c *client.Config) { c.ServerKey = key.NewPrivate().Public() }), ErrOtherRelay, client.ErrServerKey, ""},
		"certificate for others": {trip.with(func(c *client.Config) { c.URL = "https://other.example" }), ErrUnproven, client.ErrCertificate, "other.example"},
		"unknown authority":      {trip.with(func(c *client.Config) { c.RootCAs = roots(other) }), ErrUnproven, client.ErrCertificate, ""},
		"not the relay's path":   {web, ErrUnproven, nil, "instead of an upgrade"},
	} {
		t.Run(name, func(t *testing.T) {
			err := check(t, c.trip)
			if err == nil || !strings.Contains(err.Error(), c.text) || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v, %q", err, c.want, c.text)
			}
			for _, place := range []error{ErrOutOfReach, ErrUnproven, ErrOtherRelay} {
				if errors.Is(err, place) != (c.place == place) {
					t.Errorf("%v: want it to be about %v", err, c.place)
				}
			}
			if remedy(err) == remedy(nil) {
				t.Errorf("%v: no remedy", err)
			}
		})
	}
}

// at leads the trip to another address, nil: that of the URL.
func (trip RoundTrip) at(addr net.Addr) RoundTrip {
	trip.Addr = ""
	if addr != nil {
		trip.Addr = addr.String()
	}
	return trip
}

// startServer starts something that is no relay.
func startServer(t *testing.T, withTLS bool) net.Addr {
	t.Helper()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if withTLS {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr()
}

// A relay that admits peers and passes nothing on is of no use.
func TestRoundTripMissesPackets(t *testing.T) {
	late := errors.New("too late")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	addr := startBlackHole(t, func() { cancel(late) })
	trip := RoundTrip{Login: func() client.Config { return client.Config{URL: "http://" + name} }, Addr: addr.String()}
	if err := trip.Check(ctx); !errors.Is(err, late) || !strings.Contains(err.Error(), "a packet did not arrive") {
		t.Error(err)
	}
}

// startBlackHole starts a relay that swallows every packet, and tells of it.
func startBlackHole(t *testing.T, swallowed func()) net.Addr {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close()
				if err := swallow(conn, key.NewPrivate(), swallowed); err != nil {
					t.Error(err)
				}
			})
		}
	})
	return listener.Addr()
}

// swallow logs a peer in and reads what it sends, until it has enough.
func swallow(conn net.Conn, secret key.Private, swallowed func()) error {
	in := bufio.NewReader(conn)
	if _, err := http.ReadRequest(in); err != nil {
		return err
	}
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
	conn.Write(derp.AppendServerKey(nil, secret.Public()))
	header := make([]byte, derp.HeaderLen)
	if _, err := io.ReadFull(in, header); err != nil {
		return err
	}
	_, n := derp.ParseHeader(header)
	login := make([]byte, n)
	if _, err := io.ReadFull(in, login); err != nil {
		return err
	}
	peer, _, err := derp.ParseClientInfo(login)
	if err != nil {
		return err
	}
	box := secret.Box(peer)
	conn.Write(derp.AppendServerInfo(nil, &box, derp.ServerInfo{Version: derp.ProtocolVersion}))
	if _, err := in.Peek(1); err == nil {
		swallowed()
	}
	io.Copy(io.Discard, in)
	return nil
}
