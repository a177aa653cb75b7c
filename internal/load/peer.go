package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

// logins is how many peers log in at a time: enough to keep two cores busy with
// handshakes, few enough that none waits for long.
const logins = 32

const loginTimeout = 10 * time.Second

var errSlowLogin = fmt.Errorf("the login took longer than %v", loginTimeout)

// peer is a key of ours and its connection.
type peer struct {
	public key.Public
	conn   *client.Conn
}

// LoginError says that a peer could not log in. What it wraps is of package client.
type LoginError struct {
	URL         string // of the relay
	Done, Total int    // peers logged in until then, and wanted
	Err         error
}

func (e *LoginError) Error() string {
	if e.Done == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("%d of %d peers logged in, then: %v", e.Done, e.Total, e.Err)
}

func (e *LoginError) Unwrap() error { return e.Err }

// login dials the relay with a new key and waits until it is admitted. Packets for
// the key reach it from then on.
func login(ctx context.Context, dial client.Config) (*peer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, loginTimeout, errSlowLogin)
	defer cancel()
	dial.Key = key.NewPrivate()
	dial.RecordPerPacket = true
	conn, _, err := client.Login(ctx, dial)
	if err != nil {
		return nil, err
	}
	return &peer{public: dial.Key.Public(), conn: conn}, nil
}

// loginAll logs n peers in, a bounded number at a time, and calls done after each.
// After the first failure it gives up and closes all of them.
func loginAll(ctx context.Context, dial client.Config, n int, done func(count int)) ([]*peer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		peers = make([]*peer, n)
		free  = make(chan struct{}, logins)
		mu    sync.Mutex
		count int
		work  sync.WaitGroup
	)
	for i := range n {
		free <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		work.Go(func() {
			defer func() { <-free }()
			p, err := login(ctx, dial)
			if err != nil {
				cancel(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			peers[i] = p
			count++
			done(count)
		})
	}
	work.Wait()
	if ctx.Err() != nil {
		closeAll(peers)
		return nil, &LoginError{URL: dial.URL, Done: count, Total: n, Err: context.Cause(ctx)}
	}
	return peers, nil
}

func closeAll(peers []*peer) {
	for _, p := range peers {
		if p != nil {
			p.conn.Close() // nothing is left to be lost
		}
	}
}
