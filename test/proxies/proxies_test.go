package proxies

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
)

// idle is how long connections of which nobody says a word have to stay.
const idle = 3 * time.Minute

// with names the proxies. Traefik is none that every system has, so it has to be asked for.
var with = flag.String("with", "nginx,HAProxy,Caddy,Apache", "run these `proxies`; Traefik is another")

// chosen are the setups that were asked for.
func chosen(t *testing.T) (all []setup) {
	t.Helper()
	for name := range strings.SplitSeq(*with, ",") {
		at := slices.IndexFunc(setups, func(c setup) bool { return c.name == name })
		if at < 0 {
			t.Fatalf("-with %s: there is no setup of that name", name)
		}
		all = append(all, setups[at])
	}
	return all
}

// What dist/proxies has ready serves peers as a relay without a proxy does. All setups
// are idle at the same time.
func TestReadyConfigurations(t *testing.T) {
	t.Parallel()
	for _, c := range chosen(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, c, nil, nil)
			serves(t, s)
			if out, err := exec.Command(c.release[0], c.release[1:]...).CombinedOutput(); err == nil {
				version, _, _ := strings.Cut(string(out), "\n")
				t.Logf("%s: %s", c.name, version)
			}
		})
	}
}

// serves has peers come through the proxy of a stand in each way.
func serves(t *testing.T, s *stand) {
	t.Helper()
	native := visit(t, s.config(client.WebSocketNever))
	webSocket := visit(t, s.config(client.WebSocketAlways))
	liar := visit(t, s.liar("X-Forwarded-For: 198.51.100.1\r\nForwarded: for=198.51.100.2\r\nX-Real-IP: 198.51.100.3\r\n"))
	for who, v := range map[string]*visitor{"upgraded": native, "WebSocket": webSocket, "liar": liar} {
		if at := s.addressOf(t, v); at != s.from {
			t.Errorf("%s: peers list says it comes from %s, want %s", who, at, s.from)
		}
	}
	native.tell(t, webSocket, derp.MaxPacket)
	webSocket.tell(t, native, derp.MaxPacket)
	s.isGreen(t)
	s.plain(t)

	time.Sleep(idle)
	for who, v := range map[string]*visitor{"upgraded": native, "WebSocket": webSocket} {
		select {
		case <-v.gone:
			t.Errorf("%s: cut while it was idle: %v", who, v.why)
		default:
		}
	}
	native.tell(t, webSocket, 1000)
	webSocket.tell(t, native, 1000)
}

// checks runs `detour check` from outside: of a map, as clients have it.
func (s *stand) checks(t *testing.T, args ...string) (all []found, status int) {
	t.Helper()
	file := s.write(t, "map.json", fmt.Sprintf(`{"Regions": {"900": {"RegionID": 900, "RegionCode": "tst", "RegionName": "Test", "Nodes": [
		{"Name": "900a", "RegionID": 900, "HostName": %q, "IPv4": %q, "IPv6": "none", "CanPort80": true}]}}}`, theName, s.addr))
	out, status := detour(t, append([]string{"check", "--json", "--local", "--ca", s.ca, file}, args...)...)
	var report struct {
		Regions []struct{ Nodes []struct{ Checks []found } }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("check: %v: %s", err, out)
	}
	for _, region := range report.Regions {
		for _, node := range region.Nodes {
			all = append(all, node.Checks...)
		}
	}
	return all, status
}

// found is what a check has found.
type found struct{ Name, Status, Detail, Remedy string }

// isGreen wants nothing to fail, and nothing to warn.
func (s *stand) isGreen(t *testing.T) {
	t.Helper()
	checks, status := s.checks(t)
	for _, c := range checks {
		if (c.Status == "warn" || c.Status == "fail") && c.Name != "dns" { // there is none here
			t.Errorf("check: %s: %s %s -> %s", c.Status, c.Name, c.Detail, c.Remedy)
		}
	}
	if status != 0 || len(checks) == 0 {
		t.Errorf("check: exit status %d with %d checks", status, len(checks))
	}
}

// plain wants port 80 to send everybody to https.
func (s *stand) plain(t *testing.T) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+"/a?b=c", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = theName
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	if to := answer.Header.Get("Location"); answer.StatusCode/100 != 3 || to != "https://"+theName+"/a?b=c" {
		t.Errorf("port 80 answers %s, to %q", answer.Status, to)
	}
}
