package membercmd

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/detour-relay/detour/internal/agent"
	"github.com/detour-relay/detour/tailnet"
)

var statusTime = time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)

// What others have a say in does nothing to a terminal.
func TestHostileStatus(t *testing.T) {
	evil := "\x1b[2J\x1b]0;x\x07\r\n\u202e" + strings.Repeat("x", 1000)
	s := agent.Status{
		Name: evil, Tailnet: evil, Interface: evil, Home: 901, HomeCode: evil, Phase: tailnet.Connected, Coordinator: evil, Problem: evil,
		Peers: []agent.PeerStatus{{Name: evil, Path: evil}, {Key: evil}},
	}
	var b bytes.Buffer
	writeStatus(&b, s, 80, statusTime)
	for _, r := range strings.ReplaceAll(b.String(), "\n", "") {
		if !unicode.IsPrint(r) {
			t.Fatalf("%q is printed", r)
		}
	}
	if lines := strings.Count(b.String(), "\n"); lines > 12 {
		t.Errorf("%d lines:\n%s", lines, b.String())
	}
}

// A terminal that is narrow has one address of each, and one that is wide has all.
func TestWidthOfStatus(t *testing.T) {
	s := agent.Status{Phase: tailnet.Connected}
	for i := range 100 {
		s.Peers = append(s.Peers, agent.PeerStatus{
			Name: fmt.Sprintf("machine-%d", i), Path: "relay 901 one", Handshake: statusTime.Add(-time.Minute),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{100, 64, 0, byte(i)}), netip.MustParseAddr("fd59:516d:6059::2")},
		})
	}
	for width, want := range map[int]int{0: 100, 200: 100, 90: 0} {
		var b bytes.Buffer
		writeStatus(&b, s, width, statusTime)
		if got := strings.Count(b.String(), "fd59:"); got != want {
			t.Errorf("%d columns: %d long addresses, want %d", width, got, want)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(line); width == 90 && n > width {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		const height = 24
		cut := cutLines(b.String(), height)
		if lines := strings.Count(cut, "\n"); lines != height-1 || !strings.HasSuffix(cut, "more lines, for which this terminal is too small\n") {
			t.Errorf("%d lines:\n%s", lines, cut)
		}
		if cutLines(b.String(), 0) != b.String() || cutLines(b.String(), 200) != b.String() {
			t.Error("what fits is cut")
		}
	}
}

func TestAgo(t *testing.T) {
	for ago, want := range map[time.Duration]string{
		-time.Minute: "0s ago", 90 * time.Second: "1m30s ago", time.Hour: "1h0m ago", 26*time.Hour + 59*time.Minute + 59*time.Second: "26h59m ago", 49 * time.Hour: "2 days ago",
	} {
		if got := agoText(statusTime.Add(-ago), statusTime); got != want {
			t.Errorf("%v: %q, want %q", ago, got, want)
		}
	}
	if got := agoText(time.Time{}, statusTime); got != "-" {
		t.Error(got)
	}
}
