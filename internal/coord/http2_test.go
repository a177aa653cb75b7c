package coord

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// A stream over HTTP/2 cannot be taken over, and says the same.
func TestStreamsOverHTTP2(t *testing.T) {
	s, err := New(Config{Store: coordstore.NewMemory(), Contacts: func() []coordapi.Contact { return []coordapi.Contact{contact} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	for s.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	c := &coordinator{Service: s, t: t}
	c.newTailnet("home")
	token := c.join(key.NewPrivate(), c.newInvite("home", 1), "a").Session.Token

	srv := httptest.NewUnstartedServer(c.Handler())
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL+coordapi.PathWatch, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", resp.Proto, resp.Status)
	}
	in := bufio.NewScanner(resp.Body)
	for in.Scan() && !strings.Contains(in.Text(), `"at"`) {
	}
	go c.Drain(context.Background(), 0)
	last := ""
	for in.Scan() {
		last = in.Text()
	}
	if !strings.Contains(last, coordapi.EventMove) {
		t.Errorf("the last line is %q: %v", last, in.Err())
	}
}
