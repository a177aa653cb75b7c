package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// coordinators are those of one coordination server.
type coordinators struct {
	t       *testing.T
	all     []*coord.Service
	servers []*httptest.Server
}

func coordinate(t *testing.T, n int) *coordinators {
	t.Helper()
	c, store := &coordinators{t: t}, coordstore.NewMemory()
	for range n {
		var server *httptest.Server
		s, err := coord.New(coord.Config{Store: store, Contacts: func() []coordapi.Contact { return []coordapi.Contact{{URL: server.URL}} }})
		if err != nil {
			t.Fatal(err)
		}
		server = httptest.NewServer(s.Handler())
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.Run(ctx)
		}()
		t.Cleanup(func() {
			cancel()
			<-ended
			server.CloseClientConnections()
			server.Close()
		})
		c.all, c.servers = append(c.all, s), append(c.servers, server)
		eventually(t, "a coordinator is ready", func() bool { return s.Ready() == nil })
	}
	return c
}

// call asks a handler of one of them.
func call[T any](t *testing.T, h http.Handler, method, path string, in any) (out T) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, bytes.NewReader(body)))
	if w.Code != http.StatusOK && w.Code != http.StatusNoContent {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// join makes a key a member of a tailnet.
func (c *coordinators) join(tailnet, name string) key.Private {
	c.t.Helper()
	invited := call[coordapi.Invited](c.t, c.all[0].AdminHandler(), "POST", coordapi.PathAdmin+"tailnets/"+tailnet+"/invites", coordapi.NewInvite{})
	invite, err := coordapi.ParseInvite(invited.Text)
	if err != nil {
		c.t.Fatal(err)
	}
	own, h := key.NewPrivate(), c.all[0].Handler()
	ch := call[coordapi.Challenge](c.t, h, "POST", coordapi.PathChallenge, nil)
	call[coordapi.Joined](c.t, h, "POST", coordapi.PathJoin, coordapi.Join{
		Invite: invite.Credential(), Key: own.Public(), Name: name, Challenge: ch.Challenge,
		Proof: coordapi.Prove(own, ch, coordapi.ForJoin, invite.Credential()),
	})
	return own
}

func (c *coordinators) remove(by int, tailnet, member string) {
	c.t.Helper()
	call[struct{}](c.t, c.all[by].AdminHandler(), "DELETE", coordapi.PathAdmin+"tailnets/"+tailnet+"/members/"+member, nil)
}

// The members of a coordination server come in, whichever coordinator is there, and
// who is removed is cut off, whichever was told.
func TestTheMembersOfACoordinationServerComeIn(t *testing.T) {
	server := coordinate(t, 2)
	operator := server.all[0].AdminHandler()
	for _, name := range []string{"home", "other"} {
		call[coordapi.Tailnet](t, operator, "POST", coordapi.PathAdmin+"tailnets", coordapi.NewTailnet{Name: name})
	}
	added := call[coordapi.AddedRelay](t, operator, "POST", coordapi.PathAdmin+"relays", coordapi.NewRelay{Name: "fra1", Tailnets: []string{"home"}})
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(added.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := plain()
	c.Access = config.Access{
		Coordinator: []string{server.servers[0].URL, server.servers[1].URL}, CoordinatorToken: token, Grace: config.Duration(time.Hour),
	}
	d := open(t, c, Options{})
	run(t, d)
	heard := func() bool { return d.State().Access.Sources[0].Heard.Now }
	eventually(t, "the server is heard", heard)

	var members []<-chan error
	for _, name := range []string{"a", "b", "c"} {
		members = append(members, connectedAs(t, d, server.join("home", name)))
	}
	for what, stranger := range map[string]key.Private{"nobody's member": key.NewPrivate(), "another tailnet's": server.join("other", "x")} {
		if conn, err := loginAs(t, d, stranger); err == nil {
			conn.Close()
			t.Errorf("%s got in", what)
		}
	}
	for by, name := range []string{"a", "b"} {
		began := time.Now()
		server.remove(by, "home", name)
		<-members[by]
		t.Logf("removed by coordinator %d: cut off after %v", by, time.Since(began))
	}

	server.servers[0].CloseClientConnections()
	server.servers[0].Listener.Close()
	eventually(t, "another coordinator is heard", func() bool { return heard() && d.State().Access.Sources[0].Heard.Gone == 2 })
	members = append(members, connectedAs(t, d, server.join("home", "d")))
	server.remove(1, "home", "d")
	<-members[3]
	select {
	case err := <-members[2]:
		t.Errorf("who was not removed is cut off: %v", err)
	default:
	}
	disabled := true
	call[coordapi.Member](t, server.all[1].AdminHandler(), "PATCH", coordapi.PathAdmin+"tailnets/home/members/c", coordapi.ChangeMember{Disabled: &disabled})
	<-members[2]
	eventually(t, "four connections are counted as revoked", func() bool { return d.relay.Survey().Ended["revoked"] == 4 })
}
