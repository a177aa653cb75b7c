package coord

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/key"
)

// Whoever sends a body that does not come, asked for or not, does not hold a connection.
func TestBodiesThatDoNotComeEnd(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		dial, stop := c.serve()
		defer stop()
		for _, what := range []string{"POST /", "GET /v1/watch", "POST /v1/login", "PUT /v1/self", "POST /verify"} {
			conn := dial()
			go io.WriteString(conn, what+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
			conn.SetReadDeadline(time.Now().Add(callTime))
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: the connection stays", what)
			}
			conn.Close()
		}
	})
}

// Nor does who asks and does not read the answer.
func TestAnswersThatNobodyReadsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		dial, stop := c.serve()
		defer stop()
		conn := dial()
		defer conn.Close()
		io.WriteString(conn, "GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(callTime + time.Second)
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes come after a minute", n)
		}
	})
}

// told is a source that always says the same, and a sink that takes nothing.
type told struct {
	coordstate.Batch
	takes  atomic.Int64
	broken chan struct{}
}

func (f *told) take() coordstate.Batch { f.takes.Add(1); return f.Batch }
func (f *told) beat() []byte           { return beatLine }
func (f *told) stop()                  {}
func (f *told) close()                 {}
func (f *told) cut()                   { close(f.broken) }
func (f *told) write([][]byte) error   { <-f.broken; return io.ErrClosedPipe }

// What wakes a stream that waits for its coordinator to hear more does not add up.
func TestAStreamThatWaitsLooksNowAndThen(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		from := &told{Batch: coordstate.Batch{Waits: true}, broken: make(chan struct{})}
		st := &stream{of: c.Service, out: from, done: make(chan struct{})}
		c.streams.start(st, func(*stream) source { return from })
		for range 100 {
			st.Wake()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		if n := from.takes.Load(); n > 100+10*4+2 {
			t.Errorf("it has looked %d times", n)
		}
		st.end()
		<-st.done
	})
}

// A stream that has to make room ends, however slowly it is read.
func TestADisplacedStreamEnds(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		out := &told{Batch: coordstate.Batch{Lines: [][]byte{beatLine}}, broken: make(chan struct{})}
		st := &stream{of: c.Service, out: out, done: make(chan struct{})}
		if !c.streams.start(st, func(*stream) source { return out }) {
			t.Fatal("it did not start")
		}
		st.Displace()
		select {
		case <-st.done:
		case <-time.After(2 * lineTime):
			t.Error("it goes on")
			out.cut()
		}
	})
}

// A join that was begun comes to its end although who has asked has gone: a claim that
// nobody comes for is in the way of others.
func TestWhoGoesAwayHasJoined(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		home := c.newTailnet("home")
		i := c.newInvite("home", 1)
		k := key.NewPrivate()
		ask := as[coordapi.Challenge](t, call(c.Handler(), "POST", coordapi.PathChallenge, "", nil))
		r := newRequest("POST", coordapi.PathJoin, "", coordapi.Join{Invite: i.Credential(), Key: k.Public(), Name: "a", Challenge: ask.Challenge,
			Proof: coordapi.Prove(k, ask, coordapi.ForJoin, i.Credential())})
		ctx, leave := context.WithCancel(t.Context())
		c.store.Pause()
		done := make(chan reply)
		go func() { done <- do(c.Handler(), r.WithContext(ctx)) }()
		synctest.Wait()
		leave()
		synctest.Wait()
		c.store.Heal()
		<-done
		if _, ok := c.state.Find(home.ID, k.Public()); !ok {
			t.Error("it is no member")
		}
	})
}

// Strangers use up what there is for strangers; members come in.
func TestStrangersTakeNoRoomOfMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, coordstore.NewMemory(), func(cfg *Config) { cfg.Limits.Total = rate.Limit{PerSecond: 1, Burst: 1} }).ready()
		defer c.stop()
		home := c.newTailnet("home")
		k := key.NewPrivate()
		c.join(k, c.newInvite("home", 1), "a")
		used := len(c.used.now)
		for _, want := range []string{coordapi.CodeNotMember, coordapi.CodeTooMany} {
			if r := c.tryLogin(key.NewPrivate(), home.ID); r.code() != want {
				t.Errorf("a stranger: %s, want %s", r.body, want)
			}
		}
		if n := len(c.used.now); n != used {
			t.Errorf("%d proofs of strangers are remembered", n-used)
		}
		if r := c.tryLogin(k, home.ID); r.status != 200 {
			t.Errorf("a member: %s", r.body)
		}
	})
}
