package mesh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// timeout bounds every wait of a test for something that must happen.
const timeout = 2 * time.Minute

var (
	meshKey, _      = key.ParseMesh(strings.Repeat("0f", key.Len))
	otherMeshKey, _ = key.ParseMesh(strings.Repeat("f0", key.Len))
)

// A node is a relay on a port of 127.0.0.1.
type node struct {
	t     *testing.T
	key   key.Private
	keys  []key.Mesh
	tls   *tls.Config
	addr  string
	relay *relay.Server
	mesh  *Mesh
	log   *lines
	stop  func()

	stopListening func()
}

// startNode starts a relay, on a free port if addr is empty.
func startNode(t *testing.T, n node) *node {
	t.Helper()
	n.t, n.log = t, &lines{}
	if n.addr == "" {
		n.addr = "127.0.0.1:0"
	}
	if n.key.IsZero() {
		n.key = key.NewPrivate()
	}
	if n.keys == nil {
		n.keys = []key.Mesh{meshKey}
	}
	r, err := relay.New(relay.Config{Key: n.key, MeshKeys: n.keys})
	if err != nil {
		t.Fatal(err)
	}
	s, err := edge.Listen(edge.Config{Relay: r, Listen: n.addr, TLS: n.tls})
	if err != nil {
		t.Fatal(err)
	}
	n.relay, n.addr = r, s.Addr().String()
	accepting, stopListening := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(accepting) }()
	n.stopListening = func() {
		stopListening()
		served <- <-served
	}
	stopped := false
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		defer stopListening()
		if err := errors.Join(r.Shutdown(ctx), s.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(n.stop)
	return &n
}

// join runs a mesh for the node until the node or the test ends.
func (n *node) join(entries string, roots *x509.CertPool) {
	n.t.Helper()
	n.joinWith(Config{Entries: mustParse(n.t, entries), RootCAs: roots})
}

func (n *node) joinWith(cfg Config) {
	n.t.Helper()
	cfg.Relay, cfg.Logger = n.relay, n.log.logger()
	m, err := New(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mesh = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	stop := n.stop
	n.stop = func() {
		cancel()
		<-done
		stop()
	}
	n.t.Cleanup(n.stop)
}

// wantLinks waits until so many siblings of the node have that status.
func (n *node) wantLinks(status Status, want int) {
	n.t.Helper()
	n.eventually(func() bool {
		count := 0
		for _, s := range n.mesh.Siblings() {
			if s.Status == status {
				count++
			}
		}
		return count == want
	}, "%d siblings are %s", want, status)
}

func (n *node) eventually(holds func() bool, what string, args ...any) {
	n.t.Helper()
	for deadline := time.Now().Add(timeout); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Errorf("not within %v: "+what, append([]any{timeout}, args...)...)
			n.t.Fatalf("siblings are %+v", n.mesh.Siblings())
		}
	}
}

// wantTrouble waits until the only sibling of the node fails for that reason.
func (n *node) wantTrouble(reason string) {
	n.t.Helper()
	n.eventually(func() bool { return strings.Contains(n.mesh.Siblings()[0].LastError, reason) }, "%s", reason)
	if l := n.log.String(); !strings.Contains(l, "WARN") || strings.Contains(l, "linked to") {
		n.t.Errorf("logged:\n%s", l)
	}
}

// selfSigned returns a TLS configuration and the certificate's pin.
func selfSigned(t *testing.T, host string, relay key.Public) (config *tls.Config, pinned string, leaf *x509.Certificate) {
	t.Helper()
	self, err := certs.OpenSelf(certs.SelfConfig{Host: host, StateDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	meta, err := certs.NewMeta(relay)
	if err != nil {
		t.Fatal(err)
	}
	shown := self.Describe()
	return certs.TLSConfig(self, meta), shown.Pin, shown.Leaf
}

// wantPacket has a peer at one node send to a peer at another.
func wantPacket(t *testing.T, from, to client.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	receiver, err := client.Dial(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	sender, err := client.Dial(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	stop := context.AfterFunc(ctx, func() { receiver.Close() })
	defer stop()
	got := make(chan struct{})
	go func() {
		defer close(got)
		for buf := make([]byte, 1<<16); ; {
			msg, err := receiver.Recv(buf)
			if err != nil {
				t.Errorf("receiving: %v", err)
				return
			}
			if msg.Kind == client.MessagePacket {
				if string(msg.Packet) != "hi" || msg.Peer != from.Key.Public() {
					t.Errorf("got %q from %v", msg.Packet, msg.Peer)
				}
				return
			}
		}
	}()
	// A packet is dropped until the sender's relay has heard of the receiver.
	for tick := time.Tick(5 * time.Millisecond); ; {
		if err := sender.Send(to.Key.Public(), []byte("hi")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-got:
			return
		case <-tick:
		}
	}
}

// Three relays that all have the same list, which names each of them.
func TestThreeRelays(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS with pins": true} {
		t.Run(name, func(t *testing.T) {
			var nodes []*node
			var list, pins []string
			for range 3 {
				n, entry, pinned := node{key: key.NewPrivate()}, "", ""
				if secure {
					n.tls, pinned, _ = selfSigned(t, "127.0.0.1", n.key.Public())
				}
				started := startNode(t, n)
				if entry = "http://" + started.addr; secure {
					entry = started.addr + "=" + pinned
				}
				nodes, list, pins = append(nodes, started), append(list, entry), append(pins, pinned)
			}
			for _, n := range nodes {
				n.join(strings.Join(list, ","), nil)
			}
			for _, n := range nodes {
				n.wantLinks(Linked, 2)
				n.wantLinks(Self, 1)
			}
			config := func(i int) client.Config {
				if secure {
					return client.Config{URL: "https://" + nodes[i].addr, CertName: pins[i], Key: key.NewPrivate()}
				}
				return client.Config{URL: "http://" + nodes[i].addr, Key: key.NewPrivate()}
			}
			wantPacket(t, config(0), config(1))
			wantPacket(t, config(2), config(0))

			// One dies and comes back.
			dead := *nodes[2]
			nodes[2].stop()
			nodes[0].wantLinks(Linked, 1)
			nodes[1].wantLinks(Linked, 1)
			nodes[2] = startNode(t, node{key: dead.key, tls: dead.tls, addr: dead.addr})
			nodes[2].join(strings.Join(list, ","), nil)
			for _, n := range nodes {
				n.wantLinks(Linked, 2)
			}
			wantPacket(t, config(1), config(2))
			nodes[0].log.wantCount(t, "lost the link to a sibling", 1)
			nodes[0].log.wantCount(t, "the relay itself", 1)
			for _, n := range nodes {
				if problems := n.relay.Check(); len(problems) > 0 {
					t.Errorf("Check: %q", problems)
				}
			}
		})
	}
}

// A private root, a name that is dialled elsewhere, and each version of TLS.
func TestPrivateRoots(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		far := node{key: key.NewPrivate()}
		config, _, leaf := selfSigned(t, "far.example.com", far.key.Public())
		config.MaxVersion = version
		far.tls = config
		n := startNode(t, far)
		_, port, _ := net.SplitHostPort(n.addr)
		roots := x509.NewCertPool()
		roots.AddCert(leaf)

		near := startNode(t, node{})
		near.join("Far.example.com.:"+port+"/127.0.0.1", roots)
		near.wantLinks(Linked, 1)

		for entry, want := range map[string]string{
			"other.example.com:" + port + "/127.0.0.1": "TLS: certificate not valid: x509: certificate is valid for far.example.com",
			"127.0.0.1:" + port:                        "TLS: certificate not valid: x509: ",
		} {
			other := startNode(t, node{})
			other.join(entry, roots)
			other.wantTrouble(want)
		}
		other := startNode(t, node{})
		other.join("far.example.com:"+port+"/127.0.0.1", nil)
		other.wantTrouble("TLS: certificate not valid: x509: ")
	}
}

func TestWrongPin(t *testing.T) {
	far := node{key: key.NewPrivate()}
	far.tls, _, _ = selfSigned(t, "127.0.0.1", far.key.Public())
	n := startNode(t, far)
	near := startNode(t, node{})
	near.join(n.addr+"="+pin.Prefix+hexPin, nil)
	near.wantTrouble("TLS: " + pin.ErrMismatch.Error() + ": it is sha256-raw:")
}

// A relay with another mesh key serves us as it serves anybody, and says no when
// we want to know its peers.
func TestOtherMeshKey(t *testing.T) {
	far := startNode(t, node{keys: []key.Mesh{otherMeshKey}})
	near := startNode(t, node{})
	near.join("http://"+far.addr, nil)
	near.wantTrouble(relay.ErrNotSibling.Error())
	if l := near.log.String(); !strings.Contains(l, "compare the mesh keys") {
		t.Errorf("logged:\n%s", l)
	}
	if err := far.relay.ReplaceMeshKeys([]key.Mesh{otherMeshKey, meshKey}); err != nil {
		t.Fatal(err)
	}
	near.wantLinks(Linked, 1)
}

// What answers is no relay, or does not answer at all.
func TestNoRelayThere(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n":                   "HTTP status 200 OK instead of an upgrade: is this a relay",
		"HTTP/1.1 503 Service Unavailable\r\n\r\n":                             "HTTP status 503 Service Unavailable instead of an upgrade",
		"SSH-2.0-OpenSSH_9.9\r\n":                                              "the answer is not HTTP",
		"HTTP/1.1 101 Switching Protocols\r\nX: " + strings.Repeat("x", 1<<20): "a header of more than 16384 bytes",
		"HTTP/1.1 101 Switching Protocols\r\n\r\nthis is no greeting at all":   relay.ErrBadLogin.Error(),
		"": "closed without an answer to the HTTP request",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				c.SetDeadline(time.Now().Add(timeout))
				c.Read(make([]byte, 1000))
				io.WriteString(c, answer)
				c.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, c)
				c.Close()
			}
		}()
		near := startNode(t, node{})
		near.join("http://"+listener.Addr().String(), nil)
		near.wantTrouble(want)
		near.stop()
		listener.Close()
		<-done
	}
}

// The end of Run ends a try that is under way, whatever it waits for.
func TestRunEndsTries(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, entry := range []string{"http://" + listener.Addr().String(), listener.Addr().String()} {
		near := startNode(t, node{})
		near.join(entry, nil)
		near.wantLinks(Dialling, 1)
		near.stop()
		if s := near.mesh.Siblings()[0]; s.LastError != "" {
			t.Errorf("state %+v", s)
		}
	}
}

// A relay that drains tells its siblings, which link to the process that takes
// over on the same port while the old links live on.
func TestLinkToTheProcessThatTakesOver(t *testing.T) {
	old := startNode(t, node{key: key.NewPrivate()})
	near := startNode(t, node{})
	near.join("http://"+old.addr, nil)
	near.wantLinks(Linked, 1)
	link := func() []relay.LinkState { return near.relay.Survey().Links }

	old.stopListening()
	next := startNode(t, node{key: old.key, addr: old.addr})
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := old.relay.Drain(ctx, 0); err != nil {
		t.Fatal(err)
	}
	near.eventually(func() bool { return strings.Count(near.log.String(), "linked to a sibling") == 2 }, "a second link")
	if n := len(link()); n != 2 {
		t.Errorf("%d links", n)
	}
	old.stop()
	near.eventually(func() bool { return len(link()) == 1 && !link()[0].Restarting }, "one link")
	near.wantLinks(Linked, 1)
	wantPacket(t, client.Config{URL: "http://" + near.addr, Key: key.NewPrivate()}, client.Config{URL: "http://" + next.addr, Key: key.NewPrivate()})
	near.log.wantCount(t, "WARN", 0)
}
