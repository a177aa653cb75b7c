package coordserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/pin"
)

// admin asks a coordinator over its socket as an operator does.
func admin(t *testing.T, s *Server, method, path string, send, into any) error {
	t.Helper()
	client := control.OverSocket(s.State().Socket)
	defer client.Close()
	var body io.Reader
	if send != nil {
		text, err := json.Marshal(send)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	answer, err := client.Ask(t.Context(), method, coordapi.PathAdmin+path, nil, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(answer).Decode(into)
}

// get asks as a member does, who knows the certificate by its pin.
func get(t *testing.T, s *Server, path string) (status int, text string) {
	t.Helper()
	p := s.State().Pin
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(c tls.ConnectionState) error {
		if len(c.PeerCertificates) != 1 || pin.Of(c.PeerCertificates[0]).String() != p {
			return errors.New("another certificate, or more of them")
		}
		return nil
	}}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get(s.State().URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestWhoeverAsksIsAnswered(t *testing.T) {
	s, _ := run(t, kept(t), Options{Version: "v1.2.3"})
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/":                              {200, "detour join"},
		coordapi.PathMap:                 {401, ""},
		coordapi.PathAdmin + "tailnets":  {404, "operators do not ask here"},
		coordapi.PathAdmin:               {404, "operators do not ask here"},
		coordapi.PathAdmin + "../v1/map": {404, ""},
		"/nothing":                       {404, `"error"`},
	} {
		if status, text := get(t, s, path); status != want.status || !strings.Contains(text, want.text) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if now := s.State(); now.Phase != front.Serving || now.NotReady != "" || now.Version != "v1.2.3" || now.Engine == nil || !now.Engine.Writable {
		t.Errorf("%+v", now)
	}
}

// An invite says where the coordinator is and which certificate it has.
func TestInvitesNameTheCoordinator(t *testing.T) {
	s, _ := run(t, kept(t), Options{})
	if err := admin(t, s, "POST", "tailnets", coordapi.NewTailnet{Name: "home"}, nil); err != nil {
		t.Fatal(err)
	}
	var made coordapi.Invited
	if err := admin(t, s, "POST", "tailnets/home/invites", coordapi.NewInvite{}, &made); err != nil {
		t.Fatal(err)
	}
	invite, err := coordapi.ParseInvite(made.Text)
	if err != nil || len(invite.Contacts) != 1 || invite.Contacts[0].URL != s.State().URL || pin.OfSum(invite.Contacts[0].Pin).String() != s.State().Pin {
		t.Errorf("%+v, %v, want %s with %s", invite.Contacts, err, s.State().URL, s.State().Pin)
	}
}

// What was there at the end is there after a start, and the pin is the same.
func TestARestartKeepsTheState(t *testing.T) {
	c := kept(t)
	s, end := run(t, c, Options{})
	before := s.State().Pin
	if err := admin(t, s, "POST", "tailnets", coordapi.NewTailnet{Name: "home"}, nil); err != nil {
		t.Fatal(err)
	}
	end()
	s, _ = run(t, c, Options{})
	var all []coordapi.Tailnet
	if err := admin(t, s, "GET", "tailnets", nil, &all); err != nil || len(all) != 1 || all[0].Name != "home" {
		t.Errorf("%+v, %v", all, err)
	}
	if now := s.State().Pin; now != before || before == "" {
		t.Errorf("the pin was %s and is %s", before, now)
	}
}

// handshake asks the coordinator something over a connection of its own, and returns what
// the TLS handshake has come to.
func handshake(t *testing.T, s *Server, trust *tls.Config) *tls.ConnectionState {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: trust}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get(s.State().URL)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.TLS
}

// Whoever knows one curve only can resume, too.
func TestTLSSessionsOfOtherCurves(t *testing.T) {
	s, _ := run(t, kept(t), Options{})
	for _, curve := range []tls.CurveID{tls.X25519MLKEM768, tls.CurveP256, tls.CurveP521} {
		trust := &tls.Config{ServerName: "127.0.0.1", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1), CurvePreferences: []tls.CurveID{curve}}
		handshake(t, s, trust)
		if how := handshake(t, s, trust); !how.DidResume || how.CurveID != curve {
			t.Errorf("%v: resumed: %v, with %v", curve, how.DidResume, how.CurveID)
		}
	}
}

// Members that come back after a restart need no whole handshake.
func TestTLSSessionsOutliveAProcess(t *testing.T) {
	c := kept(t)
	trust := &tls.Config{ServerName: "127.0.0.1", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	resumed := func(s *Server) bool {
		how := handshake(t, s, trust)
		want := tls.X25519MLKEM768
		if how.DidResume {
			want = tls.X25519 // the first handshake's goes on to protect it
		}
		if how.CurveID != want {
			t.Errorf("keys are exchanged by %v, resumed: %v", how.CurveID, how.DidResume)
		}
		return how.DidResume
	}
	s, end := run(t, c, Options{})
	if resumed(s) {
		t.Error("the first handshake was none")
	}
	if !resumed(s) {
		t.Error("not resumed")
	}
	end()
	s, _ = run(t, c, Options{})
	if !resumed(s) {
		t.Error("not resumed after a restart")
	}
}

func TestTheStateDirectoryIsOnes(t *testing.T) {
	c := kept(t)
	run(t, c, Options{})
	_, err := Open(c, Options{})
	if !errors.Is(err, control.ErrAnswered) || !strings.Contains(err.Error(), "each coordinator has a state-dir of its own") {
		t.Error(err)
	}
	c.Front.AdminSocket = "off" // then the engine says it
	if _, err = Open(c, Options{}); err == nil || !strings.Contains(err.Error(), "name another {state-dir}") && !strings.Contains(err.Error(), "name another state-dir, or stop the other coordinator") {
		t.Error(err)
	}
}

func TestABusyPortIsSaid(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := dev(t)
	c.Front.Listen = listener.Addr().String()
	if _, err := Open(c, Options{}); err == nil || !strings.Contains(err.Error(), "choose another address with listen") {
		t.Error(err)
	}
}

const aMap = `{"Regions":{"1":{"RegionID":1,"RegionCode":"one","RegionName":"One","Nodes":[{"Name":"1a","RegionID":1,"HostName":"relay.example"}]}}}`

// The map of the file is handed out, and another one after a look.
func TestTheMapOfAFile(t *testing.T) {
	c := kept(t)
	c.Map = filepath.Join(t.TempDir(), "derp.json")
	write := func(text string) {
		if err := os.WriteFile(c.Map, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(aMap)
	s, _ := run(t, c, Options{})
	handedOut := func(code string) {
		t.Helper()
		for { // until the test's own deadline
			var now coordapi.MapState
			if err := admin(t, s, "GET", "map", nil, &now); err == nil && strings.Contains(string(now.Map), `"`+code+`"`) {
				return
			}
			if t.Context().Err() != nil {
				t.Fatalf("no map with %s", code)
			}
		}
	}
	handedOut("one")
	write(strings.Replace(aMap, `"RegionCode":"one"`, `"RegionCode":"two"`, 1))
	s.Reload()
	handedOut("two")
	write("{broken")
	s.Reload()
	handedOut("two")
}

func TestABadMapIsRefusedAtTheStart(t *testing.T) {
	c := kept(t)
	c.Map = filepath.Join(t.TempDir(), "derp.json")
	for text, want := range map[string]string{"": "no such file", `{"Regions":{}}`: "no regions", "{": "derp.json:1"} {
		if text != "" {
			if err := os.WriteFile(c.Map, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		} else {
			os.Remove(c.Map)
		}
		if s, err := Open(c, Options{}); err == nil || !strings.HasPrefix(err.Error(), "map: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
			if s != nil {
				s.Stop()
			}
		}
	}
}

// Operators elsewhere come with the token, and with no other.
func TestOperatorsOverTheNetwork(t *testing.T) {
	c := kept(t)
	c.Front.AdminHTTPS, c.Front.AdminToken = "127.0.0.1:0", filepath.Join(t.TempDir(), "token")
	secret := strings.Repeat("0123456789abcdef", 4)
	if err := os.WriteFile(c.Front.AdminToken, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := run(t, c, Options{})
	at := &url.URL{Scheme: "https", Host: s.State().Remote}
	trust := &tls.Config{InsecureSkipVerify: true}
	for token, allowed := range map[string]bool{secret: true, strings.ToUpper(secret): false, "": false} {
		client := control.OverNetwork(at, trust, nil, token)
		answer, err := client.Ask(t.Context(), "GET", coordapi.PathAdmin+"tailnets", nil, nil)
		if (err == nil) != allowed {
			t.Errorf("allowed %v: %v", allowed, err)
		}
		if err == nil {
			answer.Close()
		}
		client.Close()
	}
}

// Who looks from this machine learns whether the coordinator is of use.
func TestOpsPage(t *testing.T) {
	c := dev(t)
	c.Front.Admin = "127.0.0.1:0"
	s, _ := run(t, c, Options{})
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n", "/status": `"phase": "serving"`, "/x": "there are only"} {
		answer, err := http.Get("http://" + s.State().Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if !strings.Contains(string(text), want) || (answer.StatusCode == 200) != (path != "/x") {
			t.Errorf("%s: %d %s", path, answer.StatusCode, text)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// What is wrong with a part closes all others: nothing is left of it (TestMain).
func TestOpenLeavesNothingBehind(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := kept(t)
	c.Map = "nowhere"
	if _, err := Open(c, Options{Listener: listener}); err == nil {
		t.Error("it was opened")
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error("the listener is open", err)
	}
}

func TestRunEndsWithItsStart(t *testing.T) {
	s, err := Open(dev(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	mine := errors.New("mine")
	if err := s.Run(context.Background(), func() error { return mine }); !errors.Is(err, mine) {
		t.Error(err)
	}
	if err := s.Run(context.Background(), nil); err == nil || s.Phase() != front.Stopped {
		t.Errorf("it ran again, and is %s: %v", s.Phase(), err)
	}
}
