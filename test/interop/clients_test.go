package interop

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/test/interop/programs"
)

// used is a relay whose list of clients is asked for.
type used struct {
	*programs.Relay
	list   string
	client *http.Client
}

// bothUsed are derper and our relay, with the same peers, who have sent the same.
func bothUsed(t *testing.T, peers []client.Config) (theirs, ours used) {
	t.Helper()
	derper := programs.StartReference(t)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: derper.VerifyPin}, DisableKeepAlives: true}}
	theirs = used{derper, "https://" + derper.Addr.String() + "/debug/clients/", web}
	address := programs.FreeAddr(t).String()
	detour := programs.StartDetour(t, "--admin", address)
	ours = used{detour, "http://" + address + "/debug/clients/", &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	for _, relay := range []used{theirs, ours} {
		relay.use(t, peers)
	}
	return theirs, ours
}

// use logs the peers in, one after the other, and has each send to the first as many
// packets as its place in the list.
func (u *used) use(t *testing.T, peers []client.Config) {
	t.Helper()
	var first *client.Conn
	for i, config := range peers {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		config.URL, config.CertName = u.URL, u.Pin
		conn, _, err := client.Login(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if first == nil {
			first = conn
		}
		for range i {
			if err := conn.Send(peers[0].Key.Public(), make([]byte, 100+i)); err != nil {
				t.Fatal(err)
			}
		}
		for got := 0; got < i; {
			m, err := first.Recv(make([]byte, derp.MaxPacket))
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind == client.MessagePacket {
				got++
			}
		}
	}
}

// ask returns the answer to a query.
func (u *used) ask(t *testing.T, query string) (status int, kind string, text []byte) {
	t.Helper()
	answer, err := u.client.Get(u.list + query)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Content-Type"), text
}

// value is an answer in JSON, as it is.
func (u *used) value(t *testing.T, query string) map[string]any {
	t.Helper()
	status, kind, text := u.ask(t, query)
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil || status != http.StatusOK || kind != "application/json" {
		t.Fatalf("%s of %s: %d %s %v: %s", query, u.Name, status, kind, err, text)
	}
	return v
}

// differs are the values that are each relay's own: times, ports, the numbers of
// connections, of which only the order is the same, and senders, whom derper does not
// count unless it is told.
var differs = []string{"connNum", "remote", "connectedAt", "connected", "senders"}

// comparable is an answer in which these values are replaced by what their type is.
func comparable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if v[name] = comparable(inner); slices.Contains(differs, name) {
				v[name] = fmt.Sprintf("%T", inner)
			}
		}
		if next, ok := v["next"].(string); ok {
			v["next"] = comparableNext(next)
		}
	case []any:
		for i := range v {
			v[i] = comparable(v[i])
		}
	}
	return v
}

// comparableNext leaves of a link what has to be the same.
func comparableNext(next string) string {
	q, err := url.ParseQuery(strings.TrimPrefix(next, "?"))
	if err != nil || !strings.HasPrefix(next, "?") {
		return "no query: " + next
	}
	own := []string{"afterconn"}
	if slices.Contains([]string{"conn", "-conn", "ip", "-ip", "connected", "-connected"}, q.Get("sort")) {
		own = append(own, "after")
	}
	for _, name := range own {
		if q.Has(name) {
			q.Set(name, "own")
		}
	}
	return q.Encode()
}

// Both relays have the same peers, and say the same of them: the same walk, in JSON,
// through both of them, for each question that derper takes, and each that it refuses.
func TestClientsAreShownAsDerperDoes(t *testing.T) {
	twice := key.NewPrivate()
	peers := []client.Config{
		{Key: key.NewPrivate(), AppName: "tailscaled", Preferred: true}, {Key: twice, AppName: "two & <two>"}, {Key: key.NewPrivate(), Prober: true},
		{Key: twice, AppName: "two & <two>"}, {Key: key.NewPrivate()}, {Key: key.NewPrivate(), AppName: "=cmd()"},
	}
	theirs, ours := bothUsed(t, peers)
	settled(t, theirs, ours)
	nobody, one := key.NewPrivate().Public().String(), peers[4].Key.Public().String()
	for _, filter := range []string{
		"all=1", "all", "all=0", "ip=127.0.0.1", "ip=::ffff:127.0.0.1", "ip=192.0.2.1", "cidr=127.0.0.0/8", "cidr=127.0.0.1/16", "cidr=::/0", "key=" + one, "key=" + nobody,
		"key=" + twice.Public().String(), "app=tailscaled", "app=", "app=tailscaled&app=%3Dcmd()", "all&app=nobody", "ip=127.0.0.1&app=two+%26+%3Ctwo%3E", "all&ip=&cidr=&key=",
	} {
		compare(t, theirs, ours, "?format=json&"+filter)
	}
	for _, sort := range []string{"key", "ip", "conn", "connected", "rx", "tx", "rxpkts", "txpkts", ""} {
		for _, dash := range []string{"", "-"} {
			if sort == "" && dash == "-" {
				continue
			}
			walk(t, theirs, ours, "?all=1&format=json&limit=2&sort="+dash+sort)
		}
	}
	for _, after := range []string{
		"sort=key&after=" + one, "sort=-key&after=" + nobody, "sort=ip&after=127.0.0.1", "sort=-ip&after=127.0.0.1", "sort=ip&after=127.0.0.1:1", "sort=connected&after=1h", "sort=-connected&after=1h",
		"sort=connected&after=0", "sort=connected&after=-1h", "sort=rx&after=0", "sort=-rx&after=99999999", "sort=txpkts&after=0&afterconn=0", "sort=conn&after=-1", "sort=-conn&after=99999", "sort=rx&after=&afterconn=x", "limit=5000",
	} {
		compare(t, theirs, ours, "?all&format=json&"+after)
	}
	for _, query := range []string{"?format=json", "?format=json&sort=rubbish&limit=0"} {
		compare(t, theirs, ours, query)
	}
	refuse(t, theirs, ours, one)
}

// refuse asks what cannot be answered.
func refuse(t *testing.T, theirs, ours used, one string) {
	t.Helper()
	for _, query := range []string{
		"?format=xml", "?all&format=JSON", "?all&ip=127.0.0.1", "?ip=127.0.0.1&cidr=::/0", "?key=" + one + "&all", "?ip=localhost", "?cidr=127.0.0.1", "?cidr=127.0.0.1/33", "?key=nodekey:12", "?key=" + one[8:],
		"?all&sort=weight", "?all&sort=-", "?all&sort=--key", "?all&sort=KEY", "?all&limit=0", "?all&limit=-1", "?all&limit=x", "?all&limit=1e3", "?all&after=x", "?all&sort=ip&after=x", "?all&sort=conn&after=x",
		"?all&sort=connected&after=x", "?all&sort=rx&after=-1", "?all&sort=rx&after=1&afterconn=x", "?all&sort=tx&after=99999999999999999999", "?app=x&limit=0",
	} {
		status, kind, _ := theirs.ask(t, query)
		ourStatus, ourKind, text := ours.ask(t, query)
		if status != http.StatusBadRequest || ourStatus != status || ourKind != kind || len(text) < 10 {
			t.Errorf("%s: derper says %d in %s, and we %d in %s: %s", query, status, kind, ourStatus, ourKind, text)
		}
	}
	for _, query := range []string{"", "?all", "?all&format=html"} {
		status, kind, _ := theirs.ask(t, query)
		if ourStatus, ourKind, text := ours.ask(t, query); status != ourStatus || kind != ourKind || !strings.Contains(string(text), "<!DOCTYPE html>") {
			t.Errorf("%q: derper says %d in %s, and we %d in %s", query, status, kind, ourStatus, ourKind)
		}
	}
}

// settled waits until both have counted all that was sent.
func settled(t *testing.T, theirs, ours used) {
	t.Helper()
	total := func(u used) (sum float64) {
		for _, c := range u.value(t, "?all&format=json")["clients"].([]any) {
			sum += c.(map[string]any)["txBytes"].(float64)
		}
		return sum
	}
	want := float64(101 + 2*102 + 3*103 + 4*104 + 5*105)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		their, our := total(theirs), total(ours)
		if their == want && our == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("derper has sent %v bytes, and we %v, want %v", their, our, want)
		}
	}
}

// compare asks both the same, and returns their answers as they were.
func compare(t *testing.T, theirs, ours used, query string) (their, our map[string]any) {
	t.Helper()
	their, our = theirs.value(t, query), ours.value(t, query)
	a, _ := json.MarshalIndent(comparable(clone(their)), "", " ")
	b, _ := json.MarshalIndent(comparable(clone(our)), "", " ")
	if string(a) != string(b) {
		t.Errorf("%s: derper says\n%s\nand we\n%s", query, a, b)
	}
	return their, our
}

func clone(v map[string]any) map[string]any {
	v = maps.Clone(v)
	text, _ := json.Marshal(v)
	json.Unmarshal(text, &v)
	return v
}

// walk follows each relay's own links from page to page.
func walk(t *testing.T, theirs, ours used, query string) {
	t.Helper()
	their, our := compare(t, theirs, ours, query)
	for pages := 1; their["next"] != nil || our["next"] != nil; pages++ {
		if pages > 6 || their["next"] == nil || our["next"] == nil {
			t.Fatalf("%s: page %d leads to %v, and ours to %v", query, pages, their["next"], our["next"])
		}
		their, our = theirs.value(t, their["next"].(string)), ours.value(t, our["next"].(string))
		a, _ := json.Marshal(comparable(clone(their)))
		b, _ := json.Marshal(comparable(clone(our)))
		if string(a) != string(b) {
			t.Errorf("page %d of %s: derper says\n%s\nand we\n%s", pages+1, query, a, b)
		}
	}
}
