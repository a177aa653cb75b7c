package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/detour-relay/detour/key"
)

// Why a packet did not get through.
var (
	errLost    = errors.New("nothing arrives")
	errChanged = errors.New("it arrives changed")
	errSource  = errors.New("it arrives as from somebody else")
)

// pass sends a packet from one peer to another until it arrives, again after each pause, and returns which of them did, from
// 1. If the time is over, the sender's connection is, too: a relay that does not read would hold Send up.
func pass(ctx context.Context, from, to *peer, size int, pause time.Duration) (arrived int, err error) {
	defer context.AfterFunc(ctx, func() { from.conn.Close() })()
	packet := make([]byte, size) // which try it is, in one byte, and the body
	rand.Read(packet)            // never fails
	for try := 1; ; try++ {
		packet[0] = byte(try)
		if err := from.conn.Send(to.key, packet); err != nil {
			return 0, ifOver(ctx, err)
		}
		wait, cancel := context.WithTimeout(ctx, pause)
		arrived, err := to.await(wait, from.key, packet[1:], try)
		cancel()
		if !errors.Is(err, errLost) || ctx.Err() != nil {
			return arrived, ifOver(ctx, err)
		}
	}
}

// await waits until a packet arrives that was sent at one of so many tries, and
// returns at which. It takes over the body.
func (p *peer) await(ctx context.Context, from key.Public, body []byte, tries int) (try int, err error) {
	for {
		select {
		case got := <-p.arrived:
			try, err := p.judge(got, from, body, tries)
			if try > 0 || err != nil {
				return try, err
			}
		case <-p.ended:
			return 0, p.err
		case <-ctx.Done():
			return 0, errLost
		}
	}
}

// judge compares what has arrived with what is awaited. Neither a try nor an error:
// it has nothing to do with it.
func (p *peer) judge(got packet, from key.Public, body []byte, tries int) (try int, err error) {
	if len(got.data) == 0 {
		return 0, nil
	}
	try, gotBody := int(got.data[0]), got.data[1:]
	switch same := bytes.Equal(gotBody, body); {
	case same && got.from != from:
		return 0, errSource
	case same && 1 <= try && try <= tries:
		p.seen = append(p.seen, body)
		return try, nil
	case got.from == from && !p.hasSeen(gotBody):
		return 0, errChanged
	}
	return 0, nil
}

// hasSeen reports whether the body is of a packet that was sent more often than
// needed.
func (p *peer) hasSeen(body []byte) bool {
	for _, seen := range p.seen {
		if bytes.Equal(seen, body) {
			return true
		}
	}
	return false
}

// ifOver says errLost instead of what follows from the end of the time.
func ifOver(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errLost
	}
	return err
}
