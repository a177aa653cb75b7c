package acme_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/acme"
	"github.com/detour-relay/detour/internal/acme/acmetest"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/key"
)

const (
	loadPeers   = 4
	loadFlight  = 50 // packets of each that are under way: no more than what an outbox holds
	loadRenewed = 3
)

// While peers send as fast as they can, the certificate is renewed again and again. No
// packet is lost, nobody is disconnected, and who comes next is shown the new one.
func TestRenewalUnderLoad(t *testing.T) {
	listener, port := listen(t)
	a := acmetest.Start(t, acmetest.Options{TLSPort: port, ShortLife: 6 * time.Second})
	d, err := daemon.Open(ofAuthority(t, a, listener), daemon.Options{Listener: listener, Issue: acme.FromSettings, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	forAll(t, d.Run)
	// shown is the certificate now. On a slow machine one may be over before it is there: then
	// the next try is not waited for.
	shown := func() *x509.Certificate {
		now := d.State().Certificate
		if now.Failed != "" {
			if _, err := d.ReloadNow(); err != nil {
				t.Fatal(err)
			}
		}
		return now.Leaf
	}
	within(t, "a certificate", func() bool { return shown() != nil })
	peers := join(t, d.State().URL)
	sending, stop := context.WithCancel(t.Context())
	all, giveUp := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { giveUp(); running.Wait() })
	for i, p := range peers {
		context.AfterFunc(all, func() { p.conn.Close() })
		running.Go(func() { p.send(sending, all, peers[(i+1)%loadPeers].key.Public()) })
		running.Go(func() {
			if err := p.receive(peers[(i+loadPeers-1)%loadPeers]); err != nil && all.Err() == nil {
				t.Errorf("peer %d, after %d packets: %v", i, p.came.Load(), err)
				giveUp()
			}
		})
	}
	for n := range loadRenewed {
		before := shown()
		within(t, "a renewal", func() bool { return !shown().Equal(before) })
		seen := handshake(t, d.State().URL, a.Roots)
		if seen.Equal(before) || seen.NotBefore.Before(before.NotBefore) {
			t.Errorf("after renewal %d the old one is shown", n)
		}
		for i, p := range peers { // and goes on
			came := p.came.Load()
			within(t, "more packets", func() bool { return p.came.Load() > came+300 })
			if n == 0 && i == 0 {
				t.Logf("%d packets until the first renewal", came)
			}
		}
	}
	if conns := d.State().Conns; conns < loadPeers {
		t.Errorf("%d connections, want %d", conns, loadPeers)
	}
	stop()
	running.Wait()
	for i, p := range peers {
		if sent, came := p.sent.Load(), peers[(i+1)%loadPeers].came.Load(); sent != came || came == 0 {
			t.Errorf("peer %d: %d sent, %d came", i, sent, came)
		}
	}
}

// handshake returns the certificate that somebody is shown who comes now. Its authority
// was right when it was issued: it may have ended since, on a slow machine.
func handshake(t *testing.T, at string, roots *x509.CertPool) *x509.Certificate {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	chain := conn.ConnectionState().PeerCertificates
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: u.Hostname(), Roots: roots, Intermediates: between, CurrentTime: chain[0].NotBefore.Add(time.Second)}); err != nil {
		t.Error(err)
	}
	return chain[0]
}

// A loaded peer sends to one other as fast as it may, and hears one.
type loaded struct {
	key        key.Private
	conn       *client.Conn
	flight     chan struct{}
	sent, came atomic.Int64
}

func join(t *testing.T, at string) []*loaded {
	t.Helper()
	peers := make([]*loaded, loadPeers)
	for i := range peers {
		p := &loaded{key: key.NewPrivate(), flight: make(chan struct{}, loadFlight)}
		conn, _, err := client.Login(t.Context(), client.Config{URL: at, Key: p.key, InsecureSkipVerify: true, WebSocket: client.WebSocketNever})
		if err != nil {
			t.Fatal(err)
		}
		p.conn, peers[i] = conn, p
	}
	return peers
}

// send numbers the packets, and ends with one that has the number 0.
func (p *loaded) send(sending, all context.Context, to key.Public) {
	packet := make([]byte, 1000)
	for n := uint64(1); ; n++ {
		select {
		case p.flight <- struct{}{}:
		case <-all.Done():
			return
		}
		last := sending.Err() != nil
		if last {
			n = 0
		}
		binary.BigEndian.PutUint64(packet, n)
		if p.conn.Send(to, packet) != nil || last {
			return
		}
		p.sent.Add(1)
	}
}

// receive wants each packet of who sends, in its order.
func (p *loaded) receive(from *loaded) error {
	buf := make([]byte, 64<<10)
	for want := uint64(1); ; {
		m, err := p.conn.Recv(buf)
		if err != nil {
			return err
		}
		if m.Kind != client.MessagePacket {
			continue
		}
		<-from.flight
		switch got := binary.BigEndian.Uint64(m.Packet); got {
		case 0:
			return nil
		case want:
			p.came.Add(1)
			want++
		default:
			return fmt.Errorf("packet %d came, want %d", got, want)
		}
	}
}
