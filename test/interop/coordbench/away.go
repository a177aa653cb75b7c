package coordbench

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/tailnet"
)

// Away is what two members lose while no coordinator can be reached, and the home of one of them moves.
type Away struct {
	Seconds float64 `json:"seconds"`  // without a coordinator
	Sent    int     `json:"sent"`     // packets, in both directions
	Lost    int     `json:"lost"`     // sent outside of the move
	Moving  int     `json:"moving"`   // lost in the move
	MoveMS  float64 `json:"move_ms"`  // from the end of the old home's relay until it was started again: then the home had moved
	LearnMS float64 `json:"learn_ms"` // from when the coordinator was ready again until the other knew the new home
}

const (
	awayEach   = 20 * time.Millisecond
	awaySettle = 3 * time.Second // of traffic before anything happens, and after everything
	awayFar    = 20 * time.Millisecond
	awayBudget = 2 * time.Minute // for the home to move, and for the peer to learn of it

	// reconnectMargin is how long a client that has found a relay dead for a while may take to come back to it: its
	// longest pause is 5 s, jittered to 7.5 s at most, and then it connects, on a machine where all takes place.
	reconnectMargin = 9 * time.Second
	// inFlight is what a relay that is killed may have taken, and not passed on.
	inFlight = 200 * time.Millisecond
)

// away is the measurement while it runs.
type away struct {
	*Place
	coordinator *coordinator
	relays      []*process // of region 1 and 2
	a, b        *traveller // at home in region 1 and 2
}

// Away has no coordinator for so long.
func (p *Place) Away(ctx context.Context, long time.Duration) (found Away, err error) {
	w := &away{Place: p}
	defer w.close()
	if err := w.prepare(ctx); err != nil {
		return found, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sending sync.WaitGroup
	sending.Go(func() { w.a.sendTo(ctx, w.b) })
	sending.Go(func() { w.b.sendTo(ctx, w.a) })
	moving, learned, err := w.happen(ctx, long)
	cancel()
	sending.Wait()
	if err != nil {
		return found, err
	}
	time.Sleep(time.Second) // the last ones arrive
	w.a.close()
	w.b.close()
	found = Away{Seconds: long.Seconds(), MoveMS: ms(moving.until.Sub(moving.from)), LearnMS: ms(learned)}
	for _, way := range []struct{ from, to *traveller }{{w.a, w.b}, {w.b, w.a}} {
		window := moving
		if way.from == w.a {
			window = span{} // its peer's home stays
		}
		sent, lost, inside := count(way.from.sentAt, way.to.got, window)
		found.Sent, found.Lost, found.Moving = found.Sent+sent, found.Lost+lost, found.Moving+inside
		p.Talk("  %s sent %d packets, %d were lost in the move and %d outside of it", way.from.name, sent, inside, lost)
	}
	return found, nil
}

// span is from when to when the old home could not be used.
type span struct{ from, until time.Time }

// count says how many packets did not arrive, outside of a span with its margins and inside.
func count(sent []time.Time, got map[uint64]bool, s span) (all, lost, inside int) {
	for n, at := range sent {
		switch {
		case got[uint64(n)]:
		case at.After(s.from.Add(-inFlight)) && at.Before(s.until.Add(reconnectMargin)):
			inside++
		default:
			lost++
		}
	}
	return len(sent), lost, inside
}

// happen stops the coordinator, moves a's home, waits, and has the coordinator return.
func (w *away) happen(ctx context.Context, long time.Duration) (moving span, learned time.Duration, err error) {
	time.Sleep(awaySettle)
	w.coordinator.stop()
	began := time.Now()
	time.Sleep(awaySettle)
	moving.from = time.Now()
	w.relays[0].kill()
	w.a.far.Store(&w.relays[0].addr) // else its home goes back there, where others still believe it to be
	if err := until(ctx, "a's home is in region 2", func() bool {
		s := w.a.host.State()
		return s.Home.Region == 2 && s.Connected
	}); err != nil {
		return moving, 0, err
	}
	err = w.relays[0].start(ctx)
	moving.until = time.Now()
	if err != nil {
		return moving, 0, err
	}
	w.Talk("  without a coordinator, a's home has moved in %.1f s", moving.until.Sub(moving.from).Seconds())
	select {
	case <-time.After(time.Until(began.Add(long))):
	case <-ctx.Done():
		return moving, 0, context.Cause(ctx)
	}
	if home := w.a.host.State().Home; !w.b.knows(w.a, 1) || home.Region != 2 {
		return moving, 0, fmt.Errorf("the home of a is in region %d (%s), and b knows: %v", home.Region, home.Reason, !w.b.knows(w.a, 1))
	}
	if err := w.coordinator.start(ctx); err != nil {
		return moving, 0, err
	}
	returned := time.Now()
	w.a.member.NetworkChanged() // its pause has grown to minutes by now: what is measured is what is lost
	w.b.member.NetworkChanged()
	err = until(ctx, "b has learned of a's new home", func() bool {
		peer, _ := w.b.member.Peer(w.a.member.Self().Key)
		return peer.Home == 2
	})
	learned = time.Since(returned)
	time.Sleep(awaySettle)
	return moving, learned, err
}

func until(ctx context.Context, what string, is func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, awayBudget, fmt.Errorf("not within %v: %s", awayBudget, what))
	defer cancel()
	for !is() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (w *away) prepare(ctx context.Context) (err error) {
	for _, region := range []string{"1", "2"} {
		r, err := w.newProcess(region, "relay-"+region+"-", "relay")
		if err != nil {
			return err
		}
		r.args = append(r.args, "--stun", "off", "--self-check", "off")
		if err := r.start(ctx); err != nil {
			return err
		}
		w.relays = append(w.relays, r)
	}
	invite, err := w.startCoordinator(ctx)
	if err != nil {
		return err
	}
	if w.a, err = w.traveller(ctx, invite, "a", 1, w.relays[1].addr); err != nil {
		return err
	}
	if w.b, err = w.traveller(ctx, invite, "b", 2, w.relays[0].addr); err != nil {
		return err
	}
	return until(ctx, "both know where the other is", func() bool { return w.a.knows(w.b, 2) && w.b.knows(w.a, 1) })
}

// startCoordinator starts one that hands out the map of the relays, and returns an invite.
func (w *away) startCoordinator(ctx context.Context) (invite string, err error) {
	if w.coordinator, err = w.Place.prepare("one"); err != nil {
		return "", err
	}
	text, err := w.derpMap(ctx)
	if err != nil {
		return "", err
	}
	path := filepath.Join(w.coordinator.dir, "map.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", err
	}
	w.coordinator.args = append(w.coordinator.args, "--map", path)
	if err := w.coordinator.start(ctx); err != nil {
		return "", err
	}
	if err := w.coordinator.operate(ctx, http.MethodPost, "tailnets", coordapi.NewTailnet{Name: "home"}, nil); err != nil {
		return "", err
	}
	var made coordapi.Invited
	err = w.coordinator.operate(ctx, http.MethodPost, "tailnets/home/invites", coordapi.NewInvite{Uses: 2}, &made)
	return made.Text, err
}

func (w *away) derpMap(ctx context.Context) ([]byte, error) {
	m := &derpmap.Map{Regions: map[int]*derpmap.Region{}}
	for n, r := range w.relays {
		certificate, err := pinOf(ctx, r.addr)
		if err != nil {
			return nil, err
		}
		addr, err := net.ResolveTCPAddr("tcp", r.addr)
		if err != nil {
			return nil, err
		}
		region := n + 1
		m.Regions[region] = &derpmap.Region{RegionID: region, RegionCode: r.name, RegionName: r.name, Nodes: []*derpmap.Node{{
			Name: r.name + "a", RegionID: region, HostName: "127.0.0.1", IPv4: "127.0.0.1", IPv6: "none", CertName: certificate, STUNPort: -1, DERPPort: addr.Port,
		}}}
	}
	return json.Marshal(m)
}

// pinOf asks a process for its certificate.
func pinOf(ctx context.Context, addr string) (string, error) {
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // it is ours: nobody else can be at that address
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return pin.Of(conn.(*tls.Conn).ConnectionState().PeerCertificates[0]).String(), nil
}

func (w *away) close() {
	for _, t := range []*traveller{w.a, w.b} {
		if t != nil {
			t.close()
		}
	}
	if w.coordinator != nil {
		w.coordinator.stop()
	}
	for _, r := range w.relays {
		r.stop()
	}
}

// traveller is a member with a Host, that numbers what it sends and notes what comes in.
type traveller struct {
	name    string
	member  *tailnet.Member
	host    *client.Host
	far     atomic.Pointer[string] // address of the relay that is far away
	reading sync.WaitGroup

	sentAt []time.Time     // by number; of the goroutine that sends
	got    map[uint64]bool // of the goroutine that reads, until it has ended or nothing more comes
}

// traveller joins, and waits until its home is the region that it should be: the other one's relay is far away.
func (w *away) traveller(ctx context.Context, invite, name string, home int, far string) (t *traveller, err error) {
	t = &traveller{name: name, got: map[uint64]bool{}}
	t.far.Store(&far)
	if t.member, err = tailnet.Open(ctx, tailnet.Config{StateFile: filepath.Join(w.coordinator.dir, name+".json"), Invite: invite, Name: name}); err != nil {
		return nil, err
	}
	t.host, err = t.member.Host(client.HostConfig{Base: client.Config{
		Proxy:       func(*http.Request) (*url.URL, error) { return nil, nil },
		DialContext: t.dial,
	}})
	if err != nil {
		return nil, errors.Join(err, t.member.Close())
	}
	t.reading.Go(t.read)
	found, err := t.host.AwaitHome(ctx)
	if err == nil && found.Region != home {
		err = fmt.Errorf("the home of %s is in region %d, not %d: %s", name, found.Region, home, found.Reason)
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// farConn is a connection to a relay that may be far away.
type farConn struct {
	net.Conn
	isFar func() bool
}

func (c farConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.isFar() {
		time.Sleep(awayFar)
	}
	return n, err
}

func (t *traveller) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return farConn{conn, func() bool { return *t.far.Load() == addr }}, nil
}

func (t *traveller) knows(other *traveller, home int) bool {
	peer, _ := t.member.Peer(other.member.Self().Key)
	return peer.Home == home
}

func (t *traveller) sendTo(ctx context.Context, other *traveller) {
	to := other.member.Self().Key
	for tick := time.NewTicker(awayEach); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
		var packet [8]byte
		binary.BigEndian.PutUint64(packet[:], uint64(len(t.sentAt)))
		t.sentAt = append(t.sentAt, time.Now())
		t.host.Send(to, packet[:]) // what fails does not arrive
	}
}

func (t *traveller) read() {
	buf := make([]byte, derp.MaxPacket)
	for {
		m, err := t.host.Recv(buf)
		if err != nil {
			return
		}
		if m.Kind == client.MessagePacket && len(m.Packet) == 8 {
			t.got[binary.BigEndian.Uint64(m.Packet)] = true
		}
	}
}

// close ends it; what it got can be read then. It may be called again.
func (t *traveller) close() {
	t.host.Close()
	t.reading.Wait()
	t.member.Close()
}
