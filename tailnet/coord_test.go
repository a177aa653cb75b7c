package tailnet_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/tailnet"
)

// coordinator runs a real one, and returns an invite for two.
func coordinator() (invite string, stop func()) {
	return coordinatorWith((*httptest.Server).Start, func(h http.Handler) http.Handler { return h })
}

// coordinatorWith starts the server otherwise, and looks at what is asked.
func coordinatorWith(start func(*httptest.Server), look func(http.Handler) http.Handler) (invite string, stop func()) {
	var server *httptest.Server
	s, err := coord.New(coord.Config{Store: coordstore.NewMemory(), Contacts: func() []coordapi.Contact {
		c := coordapi.Contact{URL: server.URL}
		if server.TLS != nil {
			c.Pin = pin.Of(server.Certificate()).Sum()
		}
		return []coordapi.Contact{c}
	}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	server = httptest.NewUnstartedServer(look(s.Handler()))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that members end
	start(server)
	for s.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	home, err := s.CreateTailnet(ctx, "home")
	if err != nil {
		log.Fatal(err)
	}
	made, err := s.Invite(ctx, home.ID, coordapi.NewInvite{Uses: 2})
	if err != nil {
		log.Fatal(err)
	}
	return made.Text, func() { cancel(); running.Wait(); server.CloseClientConnections(); server.Close() }
}

// A member knows a coordinator by its pin, and resumes the TLS session when it comes back:
// a whole handshake is most of what a reconnect costs both.
func TestAMemberResumesTLS(t *testing.T) {
	var whole, resumed atomic.Int32
	invite, stop := coordinatorWith((*httptest.Server).StartTLS, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == coordapi.PathWatch && r.TLS.DidResume {
				resumed.Add(1)
			} else if !r.TLS.DidResume {
				whole.Add(1)
			}
			h.ServeHTTP(w, r)
		})
	})
	defer stop()
	connected := make(chan struct{}, 9)
	m, err := tailnet.Open(t.Context(), tailnet.Config{
		StateFile: filepath.Join(t.TempDir(), "anna.json"), Invite: invite,
		OnEvent: func(e tailnet.Event) {
			if e.Type == tailnet.IsConnected {
				connected <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	<-connected
	before := whole.Load()
	m.NetworkChanged()
	<-connected
	if resumed.Load() == 0 || whole.Load() != before || before == 0 {
		t.Errorf("%d calls after a whole handshake, then %d, and %d streams after one that was resumed", before, whole.Load(), resumed.Load())
	}
}

// Who shows another certificate than the invite says is not talked to, and that is said.
func TestAnotherCertificateThanTheInviteSays(t *testing.T) {
	text, stop := coordinatorWith((*httptest.Server).StartTLS, func(h http.Handler) http.Handler { return h })
	defer stop()
	invite, err := coordapi.ParseInvite(text)
	if err != nil {
		t.Fatal(err)
	}
	invite.Contacts[0].Pin[0]++
	if text, err = invite.Text(); err != nil {
		t.Fatal(err)
	}
	m, err := tailnet.Open(t.Context(), tailnet.Config{StateFile: filepath.Join(t.TempDir(), "anna.json"), Invite: text})
	if err == nil {
		m.Close()
	}
	if !errors.Is(err, tailnet.ErrPinMismatch) || !errors.Is(err, tailnet.ErrUnreachable) || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

// Two members of the real service are told of each other, and answer questions about each
// other.
func TestMembersOfTheService(t *testing.T) {
	invite, stop := coordinator()
	defer stop()
	added := make(chan tailnet.Event, 100)
	open := func(name string) *tailnet.Member {
		m, err := tailnet.Open(t.Context(), tailnet.Config{
			StateFile: filepath.Join(t.TempDir(), name+".json"), Invite: invite, Name: name,
			OnEvent: func(e tailnet.Event) {
				if e.Type == tailnet.PeerAdded {
					added <- e
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	a, b := open("anna"), open("ben")
	for range 2 {
		<-added
	}
	if p, known := a.PeerNamed("ben"); !known || p.Key != b.Self().Key || len(p.Addresses) != 2 {
		t.Errorf("anna knows %+v", p)
	}
	if p, err := b.Ask(t.Context(), a.Self().Key); err != nil || p.Name != "anna" {
		t.Errorf("ben is told of %+v, %v", p, err)
	}
}
