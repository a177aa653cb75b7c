package daemon

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/key"
)

// A visitor is a browser, which keeps its cookies. Certificates do not matter to it.
type visitor struct {
	*http.Client
	t *testing.T
}

func newVisitor(t *testing.T) visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return visitor{&http.Client{Jar: jar, Transport: transport}, t}
}

// open returns a page, and where it was found in the end; a form makes it a POST.
func (v visitor) open(at string, form url.Values) (status int, body, found string) {
	v.t.Helper()
	send := func() (*http.Response, error) { return v.Get(at) }
	if form != nil {
		send = func() (*http.Response, error) { return v.PostForm(at, form) }
	}
	answer, err := send()
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Request.URL.String()
}

var proofField = regexp.MustCompile(`name="proof" value="([^"]+)"`)

func proofIn(t *testing.T, body string) string {
	t.Helper()
	found := proofField.FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no proof in %s", body)
	}
	return found[1]
}

// Everybody on this machine may look; who comes by a link of the socket bans a key, which
// is out at once and does not come back, and drains the relay.
func TestPageActs(t *testing.T) {
	c := secured(t)
	c.Admin = "127.0.0.1:0"
	d := open(t, c, Options{})
	ended := make(chan error, 1)
	go func() { ended <- d.Run(context.Background()) }()
	eventually(t, "it serves", func() bool { return d.State().Phase == front.Serving })
	socket := control.OverSocket(filepath.Join(c.StateDir, control.SocketName))
	defer socket.Close()
	v := newVisitor(t)
	if status, body, _ := v.open("http://"+d.State().Admin+"/", nil); status != 200 || !strings.Contains(body, "All is well") || proofField.MatchString(body) {
		t.Fatalf("%d %s", status, body)
	}

	link, err := socket.SignIn(t.Context())
	if err != nil || len(link.URLs) != 1 {
		t.Fatalf("%+v, %v", link, err)
	}
	_, body, home := v.open(link.URLs[0], url.Values{})
	now := d.State()
	private := key.NewPrivate()
	victim := client.Config{URL: now.URL, CertName: now.Pin, Key: private}
	conn, _, err := client.Login(t.Context(), victim)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	status, body, at := v.open(home+"ban", url.Values{"proof": {proofIn(t, body)}, "key": {private.Public().String()}, "for": {"3600"}, "why": {"test"}})
	if status != 200 || !strings.Contains(body, "It had one connection") || !strings.Contains(at, "client?key=") {
		t.Fatalf("%d %s %s", status, at, body)
	}
	eventually(t, "it is out", func() bool { return d.relay.Counters().Peers == 0 })
	if again, _, err := client.Login(t.Context(), victim); err == nil {
		again.Close()
		t.Error("it is back")
	}

	answer, err := v.PostForm(home+"drain", url.Values{"proof": {proofIn(t, body)}, "sure": {"yes"}})
	if err == nil { // else the page that it leads to is gone already
		answer.Body.Close()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := socket.Drain(t.Context()); err == nil {
		t.Error("a relay that has ended drains")
	}
}

// Over the network only who is signed in sees anything, by the token or a link; a reload
// ends that if there is another token, and only then.
func TestPageOverTheNetwork(t *testing.T) {
	c := secured(t)
	file := filepath.Join(t.TempDir(), "token")
	secret := writeToken(t, file, "8")
	c.AdminHTTPS, c.AdminToken = "127.0.0.1:0", file
	d := open(t, c, Options{Version: "v1.2.3"})
	run(t, d)
	base := "https://" + d.State().Remote
	v := newVisitor(t)
	for _, path := range []string{"/", "/clients", "/status", "/metrics"} {
		if status, body, at := v.open(base+path, nil); status != 200 || at != base+"/signin" || strings.Contains(body, "v1.2.3") {
			t.Errorf("%s: %d %s %s", path, status, at, body)
		}
	}
	if status, body, _ := v.open(base+"/signin", url.Values{"token": {"wrong"}}); status != 401 || !strings.Contains(body, "not the one") {
		t.Errorf("%d %s", status, body)
	}
	status, body, home := v.open(base+"/signin", url.Values{"token": {secret}})
	if status != 200 || !strings.Contains(body, "v1.2.3") {
		t.Fatalf("%d %s", status, body)
	}
	if status, body, _ := v.open(home+"reload", url.Values{"proof": {proofIn(t, body)}}); status != 200 || !strings.Contains(body, "Reloaded") {
		t.Errorf("%d %s", status, body)
	}
	writeToken(t, file, "9")
	if _, err := d.Reload(d.Config()); err != nil {
		t.Fatal(err)
	}
	if _, _, at := v.open(home, nil); at != base+"/signin" {
		t.Errorf("with another token he is at %s", at)
	}
	r, err := http.NewRequest("GET", base+"/signin", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example"
	answer, err := v.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body.Close(); answer.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("as another name it answers %s", answer.Status)
	}
}

// A reload brings a token for the page of the loopback address, and takes it away.
func TestPageTokenIsLive(t *testing.T) {
	c := secured(t)
	c.Admin = "127.0.0.1:0"
	d := open(t, c, Options{})
	run(t, d)
	file := filepath.Join(t.TempDir(), "token")
	secret := writeToken(t, file, "8")
	v := newVisitor(t)
	signIn := "http://" + d.State().Admin + "/signin"
	reload := func(path string) {
		t.Helper()
		next := d.Config()
		next.AdminToken = path
		if _, err := d.Reload(next); err != nil {
			t.Fatal(err)
		}
	}
	if status, _, _ := v.open(signIn, url.Values{"token": {secret}}); status != http.StatusForbidden {
		t.Errorf("without a token: %d", status)
	}
	reload(file)
	status, _, home := v.open(signIn, url.Values{"token": {secret}})
	if status != 200 || !strings.Contains(home, "/s/") {
		t.Errorf("%d at %s", status, home)
	}
	reload("")
	if status, _, _ := v.open(signIn, url.Values{"token": {""}}); status != http.StatusForbidden {
		t.Errorf("with the token gone: %d", status)
	}
	if _, _, at := v.open(home, nil); strings.Contains(at, "/s/") {
		t.Errorf("who came by a token that is gone is at %s", at)
	}
}
