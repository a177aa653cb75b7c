package client

import (
	"errors"
	"sync"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

func TestCloseUnblocks(t *testing.T) {
	a, private := newAuthority(t), key.NewPrivate()
	secure := serverTLS(a.issue("relay.example.com"))
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			config := secure
			if scheme == "http" {
				config = nil
			}
			stop := make(chan struct{})
			relay := startRelay(t, private, config, func(s *side) {
				s.admit()
				<-stop // not reading
			})
			defer close(stop)
			cfg := relay.config(t, scheme+"://relay.example.com")
			cfg.RootCAs = a.pool()
			c := admitted(t, cfg)
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := c.Recv(nil); !errors.Is(err, ErrClosed) {
					t.Errorf("Recv: %v", err)
				}
			})
			sent := make(chan struct{}, 1000)
			wg.Go(func() {
				defer close(sent)
				for {
					if err := c.Send(key.Public{1}, make([]byte, derp.MaxPacket)); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Errorf("Send: %v", err)
						}
						return
					}
					sent <- struct{}{}
				}
			})
			for range 10 { // the sender is on its way to a full socket, or in it
				<-sent
			}
			within(t, "Close", func() {
				for range 3 {
					wg.Go(func() { c.Close() })
				}
				for range sent {
				}
				wg.Wait()
			})
			for name, err := range map[string]error{
				"Send": c.Send(key.Public{1}, nil), "SendBatch": c.SendBatch([]Packet{{}}), "NotePreferred": c.NotePreferred(true),
				"Recv": func() error { _, err := c.Recv(nil); return err }(), "Close": ErrClosed,
			} {
				if !errors.Is(err, ErrClosed) {
					t.Errorf("after Close, %s: %v", name, err)
				}
			}
		})
	}
}

// The relay learns of the end, and not of a broken stream.
func TestCloseEndsTLS(t *testing.T) {
	a, ends := newAuthority(t), make(chan error, 1)
	relay := startRelay(t, key.NewPrivate(), serverTLS(a.issue("relay.example.com")), func(s *side) {
		s.admit()
		ends <- s.drain()
	})
	cfg := relay.config(t, "https://relay.example.com")
	cfg.RootCAs = a.pool()
	admitted(t, cfg).Close()
	if err := <-ends; err != nil {
		t.Errorf("the relay sees %v", err)
	}
}
