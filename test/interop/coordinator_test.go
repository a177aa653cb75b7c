package interop

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

	"tailscale.com/types/key"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	ourkey "github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/test/interop/programs"
)

// coordinator is our coordination server, with one tailnet.
type coordinator struct {
	t       *testing.T
	service *coord.Service
	url     string
}

func startCoordinator(t *testing.T, openVerify bool) *coordinator {
	t.Helper()
	var server *httptest.Server
	service, err := coord.New(coord.Config{
		Store: coordstore.NewMemory(), OpenVerify: openVerify,
		Contacts: func() []coordapi.Contact { return []coordapi.Contact{{URL: server.URL}} },
	})
	if err != nil {
		t.Fatal(err)
	}
	server = httptest.NewServer(service.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		service.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		server.Close()
	})
	c := &coordinator{t, service, server.URL}
	for end := time.Now().Add(patience); service.Ready() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(service.Ready())
		}
	}
	askCoordinator[coordapi.Tailnet](c, service.AdminHandler(), "POST", coordapi.PathAdmin+"tailnets", coordapi.NewTailnet{Name: "home"})
	return c
}

func askCoordinator[T any](c *coordinator, h http.Handler, method, path string, in any) (out T) {
	c.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, bytes.NewReader(body)))
	if w.Code/100 != 2 {
		c.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			c.t.Fatal(err)
		}
	}
	return out
}

// join makes a new key a member.
func (c *coordinator) join(name string) ourkey.Private {
	c.t.Helper()
	operator, h := c.service.AdminHandler(), c.service.Handler()
	made := askCoordinator[coordapi.Invited](c, operator, "POST", coordapi.PathAdmin+"tailnets/home/invites", coordapi.NewInvite{})
	invite, err := coordapi.ParseInvite(made.Text)
	if err != nil {
		c.t.Fatal(err)
	}
	own := ourkey.NewPrivate()
	ch := askCoordinator[coordapi.Challenge](c, h, "POST", coordapi.PathChallenge, nil)
	askCoordinator[coordapi.Joined](c, h, "POST", coordapi.PathJoin, coordapi.Join{
		Invite: invite.Credential(), Key: own.Public(), Name: name, Challenge: ch.Challenge,
		Proof: coordapi.Prove(own, ch, coordapi.ForJoin, invite.Credential()),
	})
	return own
}

func (c *coordinator) remove(name string) {
	askCoordinator[struct{}](c, c.service.AdminHandler(), "DELETE", coordapi.PathAdmin+"tailnets/home/members/"+name, nil)
}

// comesIn reports whether a relay lets a key in. The reference answers, and only then looks; so the answer is a packet to
// ourselves that comes back.
func comesIn(t *testing.T, relay *programs.Relay, own ourkey.Private) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := client.Login(ctx, client.Config{URL: relay.URL, CertName: relay.Pin, Key: own})
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.Send(own.Public(), []byte("is this a relay?")); err != nil {
		return false
	}
	for buf := make([]byte, 64<<10); ; {
		msg, err := conn.Recv(buf)
		if err != nil {
			return false
		}
		if msg.Kind == client.MessagePacket {
			return true
		}
	}
}

// The reference's relay takes our coordination server for an admission controller: with a token in the URL, as it can send
// no header, and without one where the operator allows that.
func TestTheirRelayAsksOurCoordinator(t *testing.T) {
	for name, open := range map[string]bool{"with a token": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			c := startCoordinator(t, open)
			url := c.url + coordapi.PathVerify
			if !open {
				added := askCoordinator[coordapi.AddedRelay](c, c.service.AdminHandler(), "POST", coordapi.PathAdmin+"relays", coordapi.NewRelay{Name: "derper"})
				url += "/" + added.Token
			}
			relay := programs.StartDerper(t, "-verify-client-url", url)
			member, stranger := c.join("member"), ourkey.NewPrivate()
			if !comesIn(t, relay, member) {
				t.Error("a member is refused")
			}
			if comesIn(t, relay, stranger) {
				t.Error("a stranger comes in")
			}
			c.remove("member")
			for end := time.Now().Add(patience); comesIn(t, relay, member); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) { // ours, in derper's place, asks while it is in
					t.Fatal("who was removed comes in")
				}
			}
		})
	}
}

// Without a token that counts nobody comes in.
func TestTheirRelayWithAnotherToken(t *testing.T) {
	c := startCoordinator(t, false)
	member := c.join("member")
	for name, path := range map[string]string{"none": "", "a wrong one": "/" + "0123456789abcdef"} {
		relay := programs.StartDerper(t, "-verify-client-url", c.url+coordapi.PathVerify+path)
		if comesIn(t, relay, member) {
			t.Errorf("%s: a member comes in by it", name)
		}
	}
}

// Our relay as a program, with its flags; it cuts off who is removed, too, whoever's client that is.
func TestOurRelayAsksOurCoordinator(t *testing.T) {
	c := startCoordinator(t, false)
	added := askCoordinator[coordapi.AddedRelay](c, c.service.AdminHandler(), "POST", coordapi.PathAdmin+"relays", coordapi.NewRelay{Name: "detour"})
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(added.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	relay := programs.StartDetour(t, "--access-coordinator", c.url, "--access-coordinator-token", token)
	member := c.join("member")
	if !comesIn(t, relay, member) || comesIn(t, relay, ourkey.NewPrivate()) {
		t.Error("not the members, or not only they, come in")
	}
	var same key.NodePrivate
	if err := same.UnmarshalText([]byte(member.Text())); err != nil {
		t.Fatal(err)
	}
	theirs := newTheirPeer(t, relay, byURL, "member", same)
	c.remove("member")
	relay.AwaitLog(t, "a peer is cut off")
	for range theirs.got { // until its connection has ended
	}
}
