package relay_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// largeLogin is the login of a peer, sealed, of the length given.
func largeLogin(p *relaytest.Peer, relayKey [32]byte, length int) []byte {
	box := p.Key.Box(relayKey)
	empty := box.Seal([]byte("{}"))
	padding := length - derp.KeyLen - len(empty)
	sealed := box.Seal([]byte("{" + string(spaces(padding)) + "}"))
	frame := derp.AppendHeader(nil, derp.FrameClientInfo, derp.KeyLen+len(sealed))
	public := p.Public()
	return append(append(frame, public[:]...), sealed...)
}

func spaces(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = ' '
	}
	return p
}

// Logins of every length that the specification allows come in, in whatever pieces.
func TestLargeLogins(t *testing.T) {
	for _, length := range []int{200, 1019, 1020, 1100, 5000, 70_000, derp.MaxClientInfo - 1, derp.MaxClientInfo} {
		for _, piece := range []int{1000, 4097, 1 << 20} {
			t.Run(fmt.Sprint(length, " in pieces of ", piece), func(t *testing.T) {
				inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
					p := r.Dial(relaytest.Who{Name: "alice"})
					p.ExpectGreeting()
					frame := largeLogin(p, r.PublicKey(), length)
					if len(frame) != derp.HeaderLen+length {
						t.Fatalf("made %d bytes", len(frame))
					}
					for len(frame) > 0 {
						n := min(piece, len(frame))
						p.Send(frame[:n])
						frame = frame[n:]
					}
					p.ExpectServerInfo()
				})
			})
		}
	}
}

// Strangers with unfinished logins are bounded together, and stand in nobody's way
// whose login is as small as real ones are.
func TestUnfinishedLoginsAreBounded(t *testing.T) {
	const strangers = 200 // of 256 KiB each, where 64 fit
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		small := r.Dial(relaytest.Who{Name: "small"}) // the oldest of all
		small.ExpectGreeting()
		login := regular(small)
		small.Send(login[:len(login)-1])
		var peers []*relaytest.Peer
		var last []byte
		for n := range strangers {
			p := r.Dial(relaytest.Who{Name: fmt.Sprint("stranger ", n)})
			p.ExpectGreeting()
			frame := largeLogin(p, r.PublicKey(), derp.MaxClientInfo)
			p.Conn.Write(frame[:len(frame)-1]) // as far as it gets
			if n == 0 {
				last = frame[len(frame)-1:]
			}
			peers = append(peers, p)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := r.Counters().Ended["login_memory"]; n < strangers-64 || n > strangers-60 {
			t.Errorf("%d of %d were refused", n, strangers)
		}
		for n, p := range peers[strangers/2:] {
			if err := p.Ended(); !errors.Is(err, relay.ErrLoginMemory) {
				t.Errorf("stranger %d ended with %v", strangers/2+n, err)
			}
		}
		small.Send(login[len(login)-1:])
		small.ExpectServerInfo()
		peers[0].Send(last)
		peers[0].ExpectServerInfo()
		r.Join("late")
	})
}

// A header says how long a login will be; that alone costs nothing.
func TestHeadersOfLargeLoginsCostNothing(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		for n := range 1000 {
			p := r.Dial(relaytest.Who{Name: fmt.Sprint(n)})
			p.ExpectGreeting()
			p.Send(append(derp.AppendHeader(nil, derp.FrameClientInfo, derp.MaxClientInfo), make([]byte, 900)...))
		}
		synctest.Wait()
		if n := r.Counters().Ended["login_memory"]; n != 0 {
			t.Errorf("%d gave way", n)
		}
	})
}

// Whatever comes of a login, its share is given back.
func TestLoginMemoryIsGivenBack(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		for round := range 100 { // 25 MiB, one after the other
			p := r.Dial(relaytest.Who{Name: fmt.Sprint(round)})
			p.ExpectGreeting()
			frame := largeLogin(p, r.PublicKey(), derp.MaxClientInfo)
			switch round % 4 {
			case 0: // leaves
				p.Send(frame[:len(frame)-1])
				p.Close()
				if err := p.Ended(); !errors.Is(err, io.EOF) {
					t.Errorf("ended with %v", err)
				}
			case 1: // takes too long
				p.Send(frame[:len(frame)-1])
				if err := p.Ended(); !errors.Is(err, relay.ErrLoginTimeout) {
					t.Errorf("ended with %v", err)
				}
			case 2: // fails
				frame[len(frame)-1] ^= 1
				p.Send(frame)
				if err := p.Ended(); !errors.Is(err, relay.ErrBadLogin) {
					t.Errorf("ended with %v", err)
				}
			case 3:
				p.Send(frame)
				p.ExpectServerInfo()
			}
		}
	})
}
