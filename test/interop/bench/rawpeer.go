package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// A rawPeer speaks frames and nothing else. Unlike our clients and Tailscale's it does not keep to the limits that a relay tells it.
type rawPeer struct {
	conn   *tls.Conn
	in     *bufio.Reader
	public key.Public
	ending sync.WaitGroup

	got  atomic.Int64 // bytes of frames with packets that have come
	gaps atomic.Int64 // packets that did not come in their turn
}

const (
	rawTimeout = 30 * time.Second
	rawPacket  = 1400 // bytes
	rawFrame   = derp.HeaderLen + derp.KeyLen + rawPacket
	rawBatch   = 16 // packets in one record
)

// dialRaw logs in to a relay.
func dialRaw(ctx context.Context, addr string, secret key.Private) (*rawPeer, error) {
	return dialSmall(ctx, addr, secret, 128<<10)
}

// dialSmall is dialRaw with a buffer for reading of another size.
func dialSmall(ctx context.Context, addr string, secret key.Private, buffer int) (*rawPeer, error) {
	return rawDial{addr: addr, buffer: buffer}.login(ctx, secret)
}

// rawDial is a way to log in.
type rawDial struct {
	addr      string
	buffer    int  // bytes of the buffer for reading
	window    int  // bytes that the kernel keeps for the peer; 0: what it finds right
	webSocket bool // frames travel in messages
}

func (d rawDial) login(ctx context.Context, secret key.Private) (*rawPeer, error) {
	ctx, cancel := context.WithTimeout(ctx, rawTimeout)
	defer cancel()
	dialer := tls.Dialer{NetDialer: &net.Dialer{Control: d.setWindow}, Config: &tls.Config{
		InsecureSkipVerify:          true, // the certificate is of our own making
		DynamicRecordSizingDisabled: true, // what fills a record is to be one
	}}
	conn, err := dialer.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	p := &rawPeer{conn: conn.(*tls.Conn), in: bufio.NewReaderSize(conn, d.buffer), public: secret.Public()}
	conn.SetDeadline(time.Now().Add(rawTimeout))
	ask, wrap := askDERP, plain
	if d.webSocket {
		ask, wrap = askWebSocket, inMessage
	}
	if err = ask(p); err == nil {
		err = p.login(secret, wrap)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return p, nil
}

// setWindow has the kernel keep no more than the window, whatever comes.
func (d rawDial) setWindow(_, _ string, raw syscall.RawConn) (err error) {
	if d.window == 0 {
		return nil
	}
	failed := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, d.window)
	})
	return errors.Join(err, failed)
}

// askDERP has the relay begin at once, without an answer in HTTP.
func askDERP(p *rawPeer) error {
	_, err := io.WriteString(p.conn, "GET /derp HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: DERP\r\nDerp-Fast-Start: 1\r\n\r\n")
	return err
}

func plain(frame []byte) []byte { return frame }

// login returns when the relay has admitted the peer.
func (p *rawPeer) login(secret key.Private, wrap func([]byte) []byte) error {
	relay, err := derp.ReadGreeting(p.in)
	if err != nil {
		return err
	}
	box := secret.Box(relay)
	if _, err := p.conn.Write(wrap(derp.AppendClientInfo(nil, p.public, &box, derp.ClientInfo{Version: derp.ProtocolVersion}))); err != nil {
		return err
	}
	t, _, err := p.frame()
	if err == nil && t != derp.FrameServerInfo {
		err = fmt.Errorf("the relay answers the login with %v", t)
	}
	return err
}

// frame reads one frame.
func (p *rawPeer) frame() (derp.FrameType, []byte, error) {
	var header [derp.HeaderLen]byte
	if _, err := io.ReadFull(p.in, header[:]); err != nil {
		return 0, nil, err
	}
	t, n := derp.ParseHeader(header[:])
	if n > derp.MaxFrameToClient {
		return 0, nil, errors.New("a frame that no peer accepts")
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(p.in, payload)
	return t, payload, err
}

// take counts what comes from one sender, whose packets are numbered from 0, until the connection ends.
func (p *rawPeer) take() {
	p.ending.Go(func() {
		for next := uint64(0); ; {
			t, payload, err := p.frame()
			if err != nil {
				return
			}
			if t != derp.FrameRecvPacket || len(payload) != derp.KeyLen+rawPacket {
				continue
			}
			if n := binary.BigEndian.Uint64(payload[derp.KeyLen:]); n != next {
				p.gaps.Add(1)
				next = n
			}
			next++
			p.got.Add(rawFrame)
		}
	})
}

// flood sends numbered packets as fast as the relay takes them, until the connection ends.
func (p *rawPeer) flood(to key.Public) {
	next := floodTo([]key.Public{to}, rawPacket)
	p.ending.Go(func() {
		for {
			if _, err := p.conn.Write(next()); err != nil {
				return
			}
		}
	})
}

// floodTo makes batches of numbered packets to each in turn.
func floodTo(all []key.Public, size int) func() []byte {
	packet, frames := make([]byte, size), []byte(nil)
	turn, numbers := 0, make([]uint64, len(all))
	return func() []byte {
		frames = frames[:0]
		for range rawBatch {
			binary.BigEndian.PutUint64(packet, numbers[turn])
			numbers[turn]++
			frames = derp.AppendSendPacket(frames, all[turn], packet)
			turn = (turn + 1) % len(all)
		}
		return frames
	}
}

// end hangs up, without waiting for a relay that does not read.
func (p *rawPeer) end() {
	p.conn.NetConn().(*net.TCPConn).SetLinger(0)
	p.conn.NetConn().Close()
	p.ending.Wait()
}

// rawPairs are senders that want everything, each with a receiver.
type rawPairs struct{ senders, receivers []*rawPeer }

func startRawPairs(ctx context.Context, addr string, n int) (*rawPairs, error) {
	pairs := new(rawPairs)
	for range n {
		to, err := dialRaw(ctx, addr, key.NewPrivate())
		if err != nil {
			pairs.end()
			return nil, err
		}
		to.take()
		pairs.receivers = append(pairs.receivers, to)
		from, err := dialRaw(ctx, addr, key.NewPrivate())
		if err != nil {
			pairs.end()
			return nil, err
		}
		pairs.senders = append(pairs.senders, from)
	}
	for i, from := range pairs.senders {
		from.flood(pairs.receivers[i].public)
	}
	return pairs, nil
}

// arrive waits for a while and returns how many bytes came meanwhile, of each pair.
func (p *rawPairs) arrive(ctx context.Context, during time.Duration) (each []float64, took time.Duration, err error) {
	before := make([]int64, len(p.receivers))
	began := time.Now()
	for i, to := range p.receivers {
		before[i] = to.got.Load()
	}
	select {
	case <-time.After(during):
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	took = time.Since(began)
	for i, to := range p.receivers {
		each = append(each, float64(to.got.Load()-before[i]))
	}
	return each, took, nil
}

// gaps is how many packets did not come in their turn.
func (p *rawPairs) gaps() (n int64) {
	for _, to := range p.receivers {
		n += to.gaps.Load()
	}
	return n
}

func (p *rawPairs) end() {
	for _, peer := range append(p.senders, p.receivers...) {
		peer.end()
	}
}
