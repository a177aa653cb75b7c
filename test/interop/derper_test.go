package interop

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"tailscale.com/types/key"

	"github.com/detour-relay/detour/test/interop/programs"
)

// helped is one flag of a help, with its default, in the form of Go's package flag.
var helped = regexp.MustCompile(`(?m)^  -([a-z0-9-]+).*\n.*?(?:\(default (.*)\))?$`)

// The flags that take derper's place are those that derper has, with its defaults. -print-config is
// ours alone.
func TestOurDerperHasTheirFlags(t *testing.T) {
	derper, err := programs.Reference()
	if err != nil {
		t.Fatal(err)
	}
	place, err := programs.Place()
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := flagsOf(t, derper, "-h"), flagsOf(t, place, "-h")
	delete(ours, "print-config")
	for name, value := range theirs {
		if got, known := ours[name]; !known || got != value {
			t.Errorf("-%s is known: %v, with default %s, want %s", name, known, got, value)
		}
	}
	if len(theirs) != len(ours) || len(theirs) < 35 {
		t.Errorf("derper has %d flags, ours %d", len(theirs), len(ours))
	}
}

func flagsOf(t *testing.T, program string, args ...string) map[string]string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput() // derper helps on stderr
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	flags := make(map[string]string)
	for _, flag := range helped.FindAllStringSubmatch(string(out), -1) {
		flags[flag[1]] = flag[2]
	}
	return flags
}

// Their clients find our program in derper's place, with derper's command line.
func TestTheirClientThroughOurDerper(t *testing.T) {
	relay := programs.StartPlace(t)
	for name, dial := range map[string]theirDial{"fast start": byRegion(tls.VersionTLS13), "by URL": byURL, "WebSocket": byWebSocket} {
		t.Run(name, func(t *testing.T) {
			a := newTheirPeer(t, relay, dial, "a", key.NewNode())
			b := newTheirPeer(t, relay, dial, "b", key.NewNode())
			exchange(t, a, b)
			exchange(t, b, a)
			a.ping(t)
		})
	}
}

// It takes the place of one of a region's derpers, beside derper and beside ours.
func TestOurDerperInARegion(t *testing.T) {
	relays := newRegion(t, programs.Sibling{Program: "place"}, programs.Sibling{Program: "derper"}, programs.Sibling{Program: "detour"})
	for _, other := range relays[1:] {
		a := newTheirPeer(t, relays[0], byURL, "a", key.NewNode())
		b := newTheirPeer(t, other, byURL, "b", key.NewNode())
		meet(t, a, b)
	}
}

// The key file of derper is gone on with, and is not written again: peers find the same relay.
func TestOurDerperHasTheirKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "shared.key")
	theirs := programs.StartDerper(t, "-c", file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	was := relayKey(t, theirs)
	theirs.Kill()
	ours := programs.StartPlace(t, "-c", file)
	if got := relayKey(t, ours); got != was {
		t.Errorf("the relay's key is %v, was %v", got, was)
	}
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the key file is another one: %v", err)
	}
}

// relayKey is the public key that a relay tells who upgrades.
func relayKey(t *testing.T, relay *programs.Relay) string {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, VerifyConnection: relay.VerifyPin}}
	conn, err := dialer.DialContext(t.Context(), "tcp", relay.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request, err := http.NewRequest(http.MethodGet, relay.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "DERP")
	if err := request.Write(conn); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		t.Fatal(err)
	}
	told := answer.Header.Get("Derp-Public-Key")
	if told == "" {
		t.Fatalf("%s tells no key: %s %v", relay.Name, answer.Status, answer.Header)
	}
	return told
}
