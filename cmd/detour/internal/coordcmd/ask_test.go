package coordcmd

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/internal/front"
)

// asking returns who asks a coordinator whose state is the next of these at each
// question, and then the last.
func asking(t *testing.T, states ...coordserver.State) (*asker, *atomic.Int32) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := int(asked.Add(1)) - 1
		front.SayJSON(w, states[min(n, len(states)-1)], "")
	})}
	go server.Serve(l)
	client := control.OverSocket(path)
	t.Cleanup(func() { client.Close(); server.Close() })
	return &asker{&running.Server{Client: client, At: "here"}}, &asked
}

// A command waits for a coordinator that is starting, says so once, and does not wait
// for one that is about to end.
func TestACommandWaitsForTheStart(t *testing.T) {
	gathers := coordserver.State{Phase: front.Serving, NotReady: "it waits"}
	for name, test := range map[string]struct {
		states []coordserver.State
		asked  int32
		said   int
	}{
		"ready":   {[]coordserver.State{{Phase: front.Serving}}, 1, 0},
		"starts":  {[]coordserver.State{gathers, gathers, {Phase: front.Serving}}, 3, 1},
		"is over": {[]coordserver.State{{Phase: front.Draining, NotReady: "it drains"}}, 1, 0},
	} {
		a, asked := asking(t, test.states...)
		var said strings.Builder
		err := a.awaitStart(t.Context(), &said)
		if err != nil || asked.Load() != test.asked || strings.Count(said.String(), "here: it waits (waiting for up to 30 s)\n") != test.said {
			t.Errorf("%s: %v; it was asked %d times, and said %q", name, err, asked.Load(), said.String())
		}
	}
}
