package relay_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// everyPhase connects a peer in each phase that a conn can be in.
func everyPhase(r *relaytest.Relay) []*relaytest.Peer {
	silent := r.Dial(relaytest.Who{Name: "silent"}) // greeting not taken
	greeted := r.Dial(relaytest.Who{Name: "greeted"})
	greeted.ExpectGreeting()
	halfway := r.Dial(relaytest.Who{Name: "halfway"})
	halfway.ExpectGreeting()
	halfway.Send(regular(halfway)[:40])
	asked := r.Dial(relaytest.Who{Name: "asked"}) // waits for admission
	asked.ExpectGreeting()
	asked.Send(regular(asked))
	answered := r.Dial(relaytest.Who{Name: "answered", Mesh: true}) // ServerInfo not taken
	answered.ExpectGreeting()
	answered.Send(regular(answered))

	sibling := r.JoinAs(relaytest.Who{Name: "sibling", Mesh: true})
	sibling.Send(derp.AppendWatchConns(nil))
	x1 := r.JoinAs(relaytest.Who{Name: "dup", Mesh: true})
	x2 := r.JoinAs(relaytest.Who{Name: "dup", Mesh: true})
	x2.Send(derp.AppendNotePreferred(nil, true), derp.AppendHeader(nil, 0x99, 100), []byte("half a frame"))
	slow := r.JoinAs(relaytest.Who{Name: "slow", Mesh: true, Deaf: true})
	for range 50 {
		x1.SendPacket(slow.Public(), "waits")
	}
	x1.SendPacket(x2.Public(), "hi")
	synctest.Wait()
	return []*relaytest.Peer{silent, greeted, halfway, asked, answered, sibling, x1, x2, slow}
}

// admitNobodyYet lets peers without the mesh key wait as long as it takes.
func admitNobodyYet(ctx context.Context, _ relay.Applicant) (relay.Admission, error) {
	<-ctx.Done()
	return relay.Admission{}, ctx.Err()
}

func TestShutdownEndsEveryPhase(t *testing.T) {
	inBubble(t, relay.Config{Admit: admitNobodyYet}, func(t *testing.T, r *relaytest.Relay) {
		peers := everyPhase(r)
		r.CheckSums()
		if s := r.Survey(); s.Accepts != 9 || s.Conns != 5 {
			t.Errorf("%d accepted, %d logged in; want 9 and 5", s.Accepts, s.Conns)
		}
		start := time.Now()
		if err := r.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for n, p := range peers {
			if p.IsServed() {
				t.Errorf("peer %d is still served", n)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		if n := r.Survey().Ended["shutdown"]; n < 5 {
			t.Errorf("%d conns counted as shut down, want those logged in at least", n)
		}
	})
}

func TestCancelEndsEveryPhase(t *testing.T) {
	inBubble(t, relay.Config{Admit: admitNobodyYet}, func(t *testing.T, r *relaytest.Relay) {
		peers := everyPhase(r)
		r.Cancel()
		for n, p := range peers {
			if p.IsServed() {
				t.Errorf("peer %d is still served", n)
			}
		}
		late := r.Dial(relaytest.Who{Name: "late"})
		late.Listen()
		if late.Ended() == nil {
			t.Error("served under a context that is done")
		}
	})
}

func TestServeAfterShutdown(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		r.Join("alice")
		for range 2 { // a second time it has nothing to do
			if err := r.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
		late := r.Dial(relaytest.Who{Name: "late"})
		late.Listen()
		late.Expect("EOF")
		if err := late.Ended(); !errors.Is(err, relay.ErrShutdown) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestShutdownWithoutConns(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		if err := r.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Shutdown gives up when its context does, and the relay ends when it can.
func TestShutdownOutOfTime(t *testing.T) {
	answer := make(chan struct{})
	admit := func(context.Context, relay.Applicant) (relay.Admission, error) {
		<-answer
		return relay.Admission{}, nil
	}
	synctest.Test(t, func(t *testing.T) {
		answer = make(chan struct{})
		r := relaytest.New(t, relay.Config{Admit: admit})
		p := r.Dial(relaytest.Who{Name: "alice"})
		p.ExpectGreeting()
		p.Send(regular(p))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		close(answer)
		if p.IsServed() {
			t.Error("still served")
		}
	})
}

// Conns come, talk and go while the relay shuts down.
func TestShutdownInTheMiddleOfEverything(t *testing.T) {
	for round := range 8 {
		inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
			names := []string{"a", "b", "c", "a"}
			for _, name := range names {
				p := r.JoinAs(relaytest.Who{Name: name, Mesh: true})
				packets := derp.AppendWatchConns(nil)
				for _, dst := range names {
					packets = derp.AppendSendPacket(packets, r.Public(dst), disco(""))
				}
				go func() {
					for {
						if _, err := p.Conn.Write(packets); err != nil {
							return
						}
					}
				}()
				go func() {
					runtime.Gosched()
					r.Dial(relaytest.Who{Name: "greeted"}).Listen()
				}()
			}
			for range round * 30 { // time stands still while they talk
				runtime.Gosched()
			}
		})
	}
}

// A stream that fails ends its conn, whichever side fails.
func TestBrokenStreams(t *testing.T) {
	broken := errors.New("cable cut")
	for name, c := range map[string]struct {
		read, write bool
		reason      string
	}{
		"read": {read: true, reason: "read_error"}, "write": {write: true, reason: "write_error"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				near, far := net.Pipe()
				cable := &cable{Conn: far}
				alice := r.Join("alice")
				p := r.DialOver(relaytest.Who{Name: "p"}, near, netio.Blocking(cable, nil))
				p.Login()
				if c.read {
					cable.readErr = broken
					p.Send(ping("ABCDEFGH"))
				} else {
					cable.writeErr = broken
				}
				alice.SendPacket(p.Public(), "1")
				alice.SendPacket(p.Public(), "2")
				if err := p.Ended(); !errors.Is(err, broken) {
					t.Errorf("ended with %v", err)
				}
				if n := r.Survey().Ended[c.reason]; n != 1 {
					t.Errorf("%d counted as %s, want 1", n, c.reason)
				}
				if !alice.IsServed() {
					t.Error("the other peer was closed as well")
				}
				r.CheckSums()
			})
		})
	}
}

// A cable is a conn that can be cut.
type cable struct {
	net.Conn
	readErr, writeErr error // set while the bubble is idle
}

func (c *cable) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.readErr != nil {
		return 0, c.readErr
	}
	return n, err
}

func (c *cable) Write(p []byte) (int, error) {
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	return c.Conn.Write(p)
}
