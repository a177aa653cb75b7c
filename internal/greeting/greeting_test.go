package greeting

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// A line is a stream of what one side has sent, for the other to read.
type line struct {
	bytes  []byte
	closed atomic.Bool
}

func (l *line) ReadBursts(handle func([]byte) (int, error)) error {
	used, err := handle(l.bytes)
	l.bytes = l.bytes[used:]
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (l *line) Write(p []byte) (int, error) {
	l.bytes = append(l.bytes, p...)
	return len(p), nil
}

func (l *line) Flush(bool) (bool, error) { return true, nil }

func (l *line) Close() error {
	l.closed.Store(true)
	return nil
}

// Both sides learn of each other what they said, and the relay who proved it.
func TestBothSides(t *testing.T) {
	relay, sibling := key.NewPrivate(), key.NewPrivate()
	meshKey, err := key.ParseMesh(strings.Repeat("0123456789abcdef", 4))
	if err != nil {
		t.Fatal(err)
	}
	var there, back line
	if err := SendServer(&there, relay.Public()); err != nil {
		t.Fatal(err)
	}
	at, err := ReadServer(&there)
	if err != nil || at != relay.Public() {
		t.Fatalf("the relay has %v (%v), want %v", at, err, relay.Public())
	}
	box := sibling.Box(at)
	if err := SendSibling(&back, sibling.Public(), &box, meshKey); err != nil {
		t.Fatal(err)
	}
	var large atomic.Int64
	c, err := ReadClient(&back, relay, &large)
	if err != nil || c.Key != sibling.Public() || !c.Info.MeshKey.Equal(meshKey) || c.Info.Version != derp.ProtocolVersion {
		t.Errorf("the client is %+v (%v)", c, err)
	}
	if want := derp.AppendWatchConns(nil); string(back.bytes) != string(want) || large.Load() != 0 {
		t.Errorf("%x is left, want %x; %d bytes are counted", back.bytes, want, large.Load())
	}
}

// Who cannot open the box has not been meant, or is not who he says.
func TestABoxForAnother(t *testing.T) {
	relay, sibling := key.NewPrivate(), key.NewPrivate()
	var back line
	box := sibling.Box(key.NewPrivate().Public())
	if err := SendSibling(&back, sibling.Public(), &box, key.Mesh{}); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadClient(&back, relay, new(atomic.Int64)); !errors.Is(err, ErrBad) {
		t.Errorf("got %v", err)
	}
	if _, err := ReadServer(&line{bytes: derp.AppendKeepAlive(nil)}); !errors.Is(err, ErrBad) || !errors.Is(err, ErrUnexpected) {
		t.Errorf("a KeepAlive instead of a greeting: %v", err)
	}
}

// Each side has its time; later errors are those of the stream.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l line
		d := NewDeadline(&l)
		time.Sleep(timeout - 1)
		d.Renew()
		time.Sleep(timeout - 1)
		if err := d.Stop(io.EOF); err != io.EOF || l.closed.Load() {
			t.Errorf("in time: %v, closed: %v", err, l.closed.Load())
		}
		d = NewDeadline(&l)
		time.Sleep(timeout + 1)
		if err := d.Stop(io.EOF); err != ErrTimeout || !l.closed.Load() {
			t.Errorf("too late: %v, closed: %v", err, l.closed.Load())
		}
		if err := d.Stop(nil); err != nil {
			t.Errorf("no error becomes %v", err)
		}
	})
}
