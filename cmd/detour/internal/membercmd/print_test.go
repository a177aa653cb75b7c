package membercmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// A peer is printed when what is shown of it has changed, and not otherwise: the first
// events tell of peers that were printed at the start.
func TestAPeerIsPrintedWhenItHasChanged(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		p := newPrinter(&out, asJSON)
		lines := func() int {
			defer out.Reset()
			return strings.Count(out.String(), "\n")
		}
		anna := tailnet.Peer{Key: key.Public{1}, Name: "anna", Home: 900}
		p.begin(tailnet.Self{}, []tailnet.Peer{anna}, "state", "")
		lines()
		disco, moved, named := anna, anna, anna
		disco.Disco, moved.Home, named.Name = key.Public{9}, 901, "hanna"
		named.Addresses = []netip.Addr{netip.MustParseAddr("100.64.0.1")}
		ben := tailnet.Peer{Key: key.Public{2}}
		for i, c := range []struct {
			event tailnet.EventType
			peer  tailnet.Peer
			want  int
		}{
			{tailnet.PeerAdded, anna, 0},
			{tailnet.PeerChanged, disco, 0},
			{tailnet.PeerChanged, moved, 1},
			{tailnet.PeerChanged, named, 1},
			{tailnet.PeerChanged, named, 0},
			{tailnet.PeerGone, ben, 0},
			{tailnet.PeerAdded, ben, 1},
			{tailnet.PeerGone, ben, 1},
			{tailnet.PeerAdded, ben, 1},
		} {
			if p.event(nil, tailnet.Event{Type: c.event, Peer: c.peer}); lines() != c.want {
				t.Errorf("%d: %s of %s: want %d lines", i, c.event, describe(c.peer), c.want)
			}
		}
	}
}

// Each event is one line, which a terminal can show and a program can read, whatever its
// reason says.
func TestEventsAreLines(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		p := newPrinter(&out, asJSON)
		p.begin(tailnet.Self{}, nil, "state", "")
		for _, kind := range []tailnet.EventType{tailnet.IsAway, tailnet.HasRival, tailnet.NotSaved, tailnet.WasRemoved, tailnet.PeerAdded} {
			out.Reset()
			p.event(nil, tailnet.Event{Type: kind, Peer: tailnet.Peer{Key: key.Public{1}}, Err: errors.New("a\x1b[2J\nb" + strings.Repeat("c", 9999))})
			text, whole := strings.CutSuffix(out.String(), "\n")
			if !whole || strings.ContainsAny(text, "\n\x1b") || len(text) > 2*mostReason {
				t.Errorf("%s: %q", kind, text)
			}
			var l struct {
				Event string
				Peer  struct{ Addresses []string }
			}
			if asJSON && (json.Unmarshal([]byte(text), &l) != nil || l.Event != string(kind) || l.Peer.Addresses == nil) {
				t.Errorf("%s: %s", kind, text)
			}
		}
	}
}

// Somebody may type an invite, or think better of it.
func TestAnInviteOfStandardInput(t *testing.T) {
	in, typing := io.Pipe()
	defer typing.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	f := new(joinFlags)
	if _, err := f.invite(ctx, in, []string{"-"}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	for text, whole := range map[string]bool{"": false, " \n": false, "detour1abc\n": true} {
		if invite, err := f.invite(t.Context(), strings.NewReader(text), []string{"-"}); (err == nil) != whole || whole && invite != text {
			t.Errorf("%q: %q, %v", text, invite, err)
		}
	}
}
