package tailnet_test

import (
	"context"
	"log"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/tailnet"
)

// coordinator runs a real one, and returns an invite for two.
func coordinator() (invite string, stop func()) {
	var server *httptest.Server
	s, err := coord.New(coord.Config{Store: coordstore.NewMemory(), Contacts: func() []coordapi.Contact { return []coordapi.Contact{{URL: server.URL}} }})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	server = httptest.NewServer(s.Handler())
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
