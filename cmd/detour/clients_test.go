package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/key"
)

// named logs a peer in whose program has a name.
func (r *testRelay) named(t *testing.T, app string) (*client.Conn, string) {
	t.Helper()
	secret := key.NewPrivate()
	conn, _, err := client.Login(t.Context(), client.Config{URL: r.url, CertName: r.pin, Key: secret, AppName: app})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, secret.Public().String()
}

// inhabited is a relay that everybody may use, with an admin address and three peers, of
// whom the last has sent something to the first.
func inhabited(t *testing.T) (r *testRelay, admin string, keys []string) {
	t.Helper()
	r, _ = operated(t, func(c *config.Config) { c.Access.Everyone, c.Admin = true, "127.0.0.1:0" })
	var conns []*client.Conn
	for _, app := range []string{"=cmd()", "<b>bold</b>", ""} {
		conn, k := r.named(t, app)
		conns, keys = append(conns, conn), append(keys, k)
	}
	to, err := key.ParsePublic(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := conns[2].Send(to, make([]byte, 3000)); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := conns[0].Recv(make([]byte, 65536))
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == client.MessagePacket {
			return r, "http://" + r.State().Admin, keys
		}
	}
}

// The same question is answered alike by the socket, by the admin address, and by the
// dialect of derper.
func TestClientsAreTheSameEverywhere(t *testing.T) {
	r, admin, keys := inhabited(t)
	for _, target := range [][]string{{"--admin-socket", r.State().Socket}, {admin}, {admin + clients.PathDebug}} {
		for question, want := range map[string][]string{
			"--sort conn":                                    {keys[0], keys[1], keys[2]},
			"--sort=-conn --limit 2":                         {keys[2], keys[1]},
			"--sort=-in --limit 1":                           {keys[2]},
			"--sort=-out --limit 1":                          {keys[0]},
			"--app =cmd()":                                   {keys[0]},
			"--app= --app <b>bold</b> --sort conn":           {keys[1], keys[2]},
			"--key " + keys[1]:                               {keys[1]},
			"--key " + keys[1][8:24]:                         {keys[1]},
			"--network 127.0.0.0/8 --sort conn":              {keys[0], keys[1], keys[2]},
			"--network 192.0.2.0/24":                         {},
			"--limit 0 --sort=-conn":                         {keys[2], keys[1], keys[0]},
			"--limit 5000 --sort connected":                  {keys[0], keys[1], keys[2]},
			"--network ::1 --network 127.0.0.1 --sort=-conn": {keys[2], keys[1], keys[0]},
		} {
			out, _ := command(t, 0, slices.Concat([]string{"clients", "--json"}, strings.Fields(question), target)...)
			var got struct {
				Clients []control.Peer `json:"clients"`
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%s at %s: %v: %s", question, target, err, out)
			}
			shown := []string{}
			for _, p := range got.Clients {
				shown = append(shown, p.Key.String())
			}
			if !slices.Equal(shown, want) {
				t.Errorf("%s at %s: %q, want %q", question, target, shown, want)
			}
		}
	}
}

// Each page tells the place at which the next begins, in words that a shell leaves alone.
func TestClientsPageByPage(t *testing.T) {
	r, admin, keys := inhabited(t)
	for _, target := range [][]string{{"--admin-socket", r.State().Socket}, {admin}, {admin + clients.PathDebug}} {
		for _, sort := range []string{"key", "-key", "address", "connected", "-in", "conn", "app"} {
			var seen, place []string
			for range keys {
				out, talk := command(t, 0, slices.Concat([]string{"clients", "--csv", "--limit", "1", "--sort=" + sort}, place, target)...)
				rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
				if err != nil || len(rows) != 2 {
					t.Fatalf("%v, %v", rows, err)
				}
				seen = append(seen, rows[1][0])
				if _, after, more := strings.Cut(strings.TrimSpace(talk), "add --after "); more {
					if strings.ContainsAny(after, " $&;'\"()<>|`\\*?#~!{}[]") {
						t.Errorf("the place is %q", after)
					}
					place = []string{"--after", after}
				}
			}
			slices.Sort(seen)
			if want := slices.Sorted(slices.Values(keys)); !slices.Equal(seen, want) {
				t.Errorf("by %s at %s: %q, want %q", sort, target, seen, want)
			}
		}
	}
}

// hostile is what a derper may say that means no good.
const hostile = "\x1b[2J\x9b31m\u202egnp.exe\n=cmd()<script>\u0085"

// What others have chosen is harmless in each form: no orders to terminals, no formulas.
func TestClientsShowHostileNamesHarmlessly(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		page := clients.ShownPage{Conns: 3, Keys: 3}
		for i, app := range []string{hostile, "=cmd|' /C calc'!A0", strings.Repeat("x", 1<<20)} {
			page.Clients = append(page.Clients, clients.Shown{ConnNum: int64(i), AppName: app, ConnectedAt: time.Unix(0, 0)})
		}
		json.NewEncoder(w).Encode(page)
	}))
	defer server.Close()
	for _, form := range []string{"--wide", "--csv", "--json"} {
		out, _ := command(t, 0, "clients", form, server.URL+clients.PathDebug)
		if at := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e) }); at >= 0 {
			t.Errorf("%s has an order for the terminal: %.80q", form, out[at:])
		}
		lines := 4
		if form == "--json" {
			lines = 1
			var back struct {
				Clients []control.Peer `json:"clients"`
			}
			if err := json.Unmarshal([]byte(out), &back); err != nil || back.Clients[0].App != strings.ToValidUTF8(hostile, "\ufffd") {
				t.Errorf("the JSON says %q, %v", back.Clients[0].App, err)
			}
		}
		if got := strings.Count(out, "\n"); got != lines {
			t.Errorf("%s has %d lines, want %d: %.300q", form, got, lines, out)
		}
		if form == "--csv" {
			rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			at := slices.Index(rows[0], "app")
			if got := rows[2][at]; !strings.HasPrefix(got, "'=cmd") {
				t.Errorf("a spreadsheet would run %q", got)
			}
		}
		if form != "--json" && len(out) > 10_000 {
			t.Errorf("%s has %d bytes", form, len(out))
		}
	}
}

// A filter of any size is refused in one line.
func TestClientsRefuseHugeFilters(t *testing.T) {
	huge := strings.Repeat("x", 10<<20)
	for _, flag := range []string{"--key", "--network", "--label", "--app", "--sort", "--after"} {
		_, talk := command(t, 2, "clients", flag, huge)
		if len(talk) > 600 || strings.Count(talk, "\n") != 1 {
			t.Errorf("%s: %d bytes: %.300q", flag, len(talk), talk)
		}
	}
}

// Whoever has something else at an address is not taken for a relay with nobody on it.
func TestClientsWantARelay(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "<h1>It works!</h1>") }))
	defer page.Close()
	for _, path := range []string{"", clients.PathDebug} {
		_, talk := command(t, 3, "clients", page.URL+path)
		wantMatch(t, talk, "what answers there is something else")
	}
}

// peers list without a URL is the same list.
func TestPeersListIsClients(t *testing.T) {
	r, _, keys := inhabited(t)
	out, _ := r.on(t, 0, "peers", "list")
	for _, k := range keys {
		wantMatch(t, out, "(?m)^"+k+" ")
	}
}
