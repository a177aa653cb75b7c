package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/key"
)

// operated starts a relay that lets in the keys of a file and those of its own list.
func operated(t *testing.T, change func(*config.Config)) (r *testRelay, keys string) {
	t.Helper()
	c := quiet(t)
	dir, err := os.MkdirTemp("", "d") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	keys = filepath.Join(dir, "keys")
	write(t, keys, "# nobody yet\n")
	c.StateDir, c.Access.Keys, c.Access.Managed = filepath.Join(dir, "state"), []string{keys}, true
	if change != nil {
		change(&c)
	}
	return runTestRelay(t, c, nil), keys
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A member has a key, and tries to be connected.
type member struct {
	secret key.Private
	relay  *testRelay
}

func (r *testRelay) member() *member { return &member{key.NewPrivate(), r} }

func (m *member) String() string { return m.secret.Public().String() }

// join logs in. The result says when the relay has ended the connection.
func (m *member) join(t *testing.T) (ended <-chan error, err error) {
	t.Helper()
	conn, _, err := client.Login(t.Context(), client.Config{URL: m.relay.url, CertName: m.relay.pin, Key: m.secret})
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	t.Cleanup(func() { conn.Close() })
	go func() {
		for {
			if _, err := conn.Recv(nil); err != nil {
				done <- err
				return
			}
		}
	}()
	return done, nil
}

func (m *member) wantIn(t *testing.T) (ended <-chan error) {
	t.Helper()
	ended, err := m.join(t)
	if err != nil {
		t.Fatalf("%s is not let in: %v", m, err)
	}
	return ended
}

func (m *member) wantOut(t *testing.T) {
	t.Helper()
	if _, err := m.join(t); err == nil {
		t.Fatalf("%s is let in", m)
	}
}

func wantCut(t *testing.T, ended <-chan error) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(timeout):
		t.Fatal("the connection stays")
	}
}

// on is a command line for the relay.
func (r *testRelay) on(t *testing.T, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	return command(t, status, append(args, "--admin-socket", r.State().Socket)...)
}

func TestAccessCommands(t *testing.T) {
	r, keys := operated(t, nil)
	file, guest, stranger := r.member(), r.member(), r.member()
	write(t, keys, fmt.Sprintf("%s label=staff # Alice\n", file))
	out, _ := r.on(t, 0, "reload")
	wantMatch(t, out, `^no setting has changed; the files were read again\n$`)
	fileConn := file.wantIn(t)
	guest.wantOut(t)

	// allow lets in, and says for how long.
	out, _ = r.on(t, 0, "access", "allow", guest.String(), "--label", "guests", "--for", "30d")
	wantMatch(t, out, `^`+guest.String()+` is allowed for 30d, with the label guests\n$`)
	guestConn := guest.wantIn(t)
	out, _ = r.on(t, 0, "access", "list")
	wantMatch(t, out, `^KEY +STATE +LABEL +FROM +UNTIL +CONNECTED +ABOUT\n`)
	wantMatch(t, out, `(?m)^`+guest.String()+` +allowed +guests +allow +20\d\d-\S+Z +yes +-$`)
	wantMatch(t, out, `(?m)^`+file.String()+` +allowed +staff +`+keys+` +- +yes +`)

	// ban cuts off, whatever lets in, and both are in the list.
	out, _ = r.on(t, 0, "access", "ban", file.String(), "--for", "1h", "--why", "scans the tailnet")
	wantMatch(t, out, `^`+file.String()+` is banned for 1h, and 1 connection cut\n$`)
	wantCut(t, fileConn)
	file.wantOut(t)
	out, _ = r.on(t, 0, "access", "list")
	wantMatch(t, out, `(?m)^`+file.String()+` +banned +staff +`+keys+` +20\d\d-\S+Z +no +scans the tailnet$`)
	wantMatch(t, out, `(?m)^`+guest.String()+` +allowed `)
	out, _ = r.on(t, 0, "access", "list", "--state", "banned")
	if strings.Count(out, "\n") != 2 {
		t.Errorf("banned are:\n%s", out)
	}
	r.on(t, 0, "access", "unban", file.String())
	file.wantIn(t)

	// remove cuts off who nothing else lets in.
	_, talk := r.on(t, 1, "access", "remove", stranger.String())
	wantMatch(t, talk, `was neither allowed nor imported`)
	_, talk = r.on(t, 1, "access", "remove", file.String())
	wantMatch(t, talk, `stands in .*keys, line 1: remove it there, or ban it`)
	out, talk = r.on(t, 1, "access", "remove", guest.String(), stranger.String())
	wantMatch(t, out, `^`+guest.String()+` is removed\n`+stranger.String()+` .*was neither allowed`)
	wantMatch(t, talk, `not done for 1 of 2 keys\n$`)
	wantCut(t, guestConn)
	guest.wantOut(t)
	r.on(t, 0, "access", "allow", file.String())
	out, _ = r.on(t, 0, "access", "remove", file.String())
	wantMatch(t, out, `^`+file.String()+` is removed, and still let in by `+keys+`\n$`)
	_, talk = r.on(t, 1, "access", "list", guest.String())
	wantMatch(t, talk, `1 of 1 keys are not in the list`)
}

func TestAccessImport(t *testing.T) {
	r, _ := operated(t, nil)
	a, b, c := r.member(), r.member(), r.member()
	status := func(members ...*member) string {
		var peers []string
		for i, m := range members {
			peers = append(peers, fmt.Sprintf(`%q: {"PublicKey": %q, "HostName": "host-%d"}`, m, m, i))
		}
		return `{"BackendState": "Running", "Peer": {` + strings.Join(peers, ",") + `}}`
	}
	feed := func(status int, text string, args ...string) (stdout, stderr string) {
		t.Helper()
		return commandFed(t, status, text, append([]string{"access", "import", "-", "--admin-socket", r.State().Socket}, args...)...)
	}
	out, _ := feed(0, status(a, b), "--set", "tailnet", "--dry-run")
	wantMatch(t, out, `^tailnet: 2 keys; 2 would come, 0 would go`)
	a.wantOut(t)
	out, _ = feed(0, status(a, b), "--set", "tailnet", "--label", "staff")
	wantMatch(t, out, `^tailnet: 2 keys; 2 came, 0 went, 0 changed, 0 stayed\n`)
	wantMatch(t, out, `(?m)^\+ `+a.String()+` staff  # host-0$`)
	conn := a.wantIn(t)

	// Who is not in the list any more goes at once; another set is another matter.
	out, _ = feed(0, c.String()+"\n", "--set", "other")
	wantMatch(t, out, `^other: 1 key; 1 came, 0 went`)
	out, _ = feed(0, status(b), "--set", "tailnet")
	wantMatch(t, out, `^tailnet: 1 key; 0 came, 1 went, 1 changed, 0 stayed\n`)
	wantMatch(t, out, `(?m)^- `+a.String()+` staff  # host-0$`)
	wantCut(t, conn)
	a.wantOut(t)
	c.wantIn(t)

	// What is broken or empty changes nothing.
	_, talk := feed(2, status(a)[:40], "--set", "tailnet")
	wantMatch(t, talk, `standard input: line 1, column `)
	_, talk = feed(2, "", "--set", "tailnet")
	wantMatch(t, talk, `standard input: .*no keys`)
	out, _ = r.on(t, 0, "access", "list", "--json")
	wantMatch(t, out, `^\{"entries":\[.*"from":"import (other|tailnet)".*\],"bans":\[\]\}\n$`)
	out, _ = feed(0, out, "--set", "copy")
	wantMatch(t, out, `^copy: 2 keys; 2 came`)
	out, _ = feed(0, "", "--set", "tailnet", "--force")
	wantMatch(t, out, `^tailnet: 0 keys; 0 came, 1 went`)

	// Most of a set does not go by accident.
	var many strings.Builder
	for range 20 {
		fmt.Fprintln(&many, key.NewPrivate().Public())
	}
	feed(0, many.String(), "--set", "many")
	_, talk = feed(1, many.String()[:73*5], "--set", "many")
	wantMatch(t, talk, `15 of the 20 keys in the set "many" would go: nothing was changed; force it`)
	feed(0, many.String()[:73*5], "--set", "many", "--force")
}

func TestPeersHere(t *testing.T) {
	r, _ := operated(t, nil)
	m := r.member()
	r.on(t, 0, "access", "allow", m.String(), "--label", "guests")
	conn := m.wantIn(t)
	out, _ := r.on(t, 0, "peers", "list")
	wantMatch(t, out, `^KEY +ADDRESS +CONNECTED +LABEL +IN +OUT +APP .*\n`+m.String()+` +127\.0\.0\.1:\d+ +\d+s +guests +0 B +0 B +`)
	out, _ = r.on(t, 0, "peers", "list", "--json")
	wantMatch(t, out, `^\{"relay":"/.*/admin\.sock","peers":\[\{"id":1,"key":"`+m.String()+`",`)
	out, _ = r.on(t, 0, "peers", "close", m.String())
	wantMatch(t, out, `^`+m.String()+` 1 connection closed\n$`)
	wantCut(t, conn)
	_, talk := r.on(t, 1, "peers", "close", m.String())
	wantMatch(t, talk, m.String()+`: was not connected\n$`)
}

// A key that may be a secret is not repeated, and the right one is asked for.
func TestKeysOnTheCommandLine(t *testing.T) {
	secret := strings.Repeat("0badc0de", 8)
	for _, test := range []struct{ given, want string }{
		{"privkey:" + secret, `argument 1 is a private key: keep it secret`},
		{secret, `argument 1 is not the key of a peer: public key: want "nodekey:" in front of 64 hex digits`},
		{"nodekey:12", `"nodekey:12" is not the key of a peer: public key: want 64 hex digits, got 2 characters`},
		{"nodekey:" + strings.Repeat("0", 64), "is all zeros, which nobody has"},
	} {
		for _, verb := range []string{"access ban", "access allow", "access list", "peers close"} {
			_, talk := command(t, 2, append(strings.Fields(verb), test.given)...)
			wantMatch(t, talk, test.want)
			if strings.Contains(talk, "0badc0de") {
				t.Errorf("%q repeats the key", talk)
			}
		}
	}
	for _, wrong := range []string{"5", "d", "-1h", "0s", "1d-2h", "200y", "36501d", "NaNd"} {
		_, talk := command(t, 2, "access", "ban", key.NewPrivate().Public().String(), "--for", wrong)
		wantMatch(t, talk, `want a time such as 90m, 12h or 30d`)
	}
}

// Whoever looks for a relay in vain is told where, and why not.
func TestNoRelayAnswers(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("STATE_DIRECTORY", dir)
	t.Setenv("DETOUR_CONFIG", "")
	_, talk := command(t, 3, "access", "list")
	wantMatch(t, talk, `^detour access list: no relay answers \(.*`+dir+`/admin\.sock: is not there\): start it, or name its socket with --admin-socket`)
	t.Setenv("DETOUR_ADMIN_SOCKET", filepath.Join(dir, "given"))
	_, talk = command(t, 3, "reload")
	wantMatch(t, talk, `no relay answers \(`+dir+`/given: is not there\): is it running, and is this its --admin-socket\?`)
	t.Setenv("DETOUR_ADMIN_SOCKET", "")
	file := filepath.Join(dir, "relay.yaml")
	t.Setenv("DETOUR_CONFIG", file)
	write(t, file, "admin-socket: off\n")
	_, talk = command(t, 3, "reload")
	wantMatch(t, talk, file+` says that there is no admin socket`)
	write(t, file, "state-dir: /nowhere/at/all\n")
	_, talk = command(t, 3, "reload")
	wantMatch(t, talk, `\(/nowhere/at/all/admin\.sock: is not there; `)

	write(t, file, "state-dir: [\n")
	_, talk = command(t, 3, "reload")
	wantMatch(t, talk, `name its socket with --admin-socket, for the file of settings does not say where it is: `+file+`:`)

	r, _ := operated(t, nil)
	write(t, file, "admin-socket: "+r.State().Socket+"\n")
	command(t, 0, "access", "list")
}

func TestAccessOverTheNetwork(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, strings.Repeat("0123456789abcdef", 4)+"\n")
	r, _ := operated(t, func(c *config.Config) { c.AdminHTTPS, c.AdminToken = "127.0.0.1:0", token })
	url := "https://" + r.State().Remote
	m := r.member()
	out, _ := command(t, 0, "access", "allow", m.String(), "--admin-url", url, "--admin-token", token, "--admin-cert-name", r.pin)
	wantMatch(t, out, m.String()+" is allowed")
	m.wantIn(t)
	wrong := filepath.Join(t.TempDir(), "wrong")
	write(t, wrong, strings.Repeat("fedcba9876543210", 4)+"\n")
	_, talk := command(t, 1, "access", "list", "--admin-url", url, "--admin-token", wrong, "--admin-cert-name", r.pin)
	wantMatch(t, talk, `the token is missing or not the one of this server`)
	_, talk = command(t, 3, "access", "list", "--admin-url", url, "--admin-token", token)
	wantMatch(t, talk, `--admin-cert-name`)
	_, talk = command(t, 3, "access", "list", "--admin-url", "https://127.0.0.1:1", "--admin-token", token)
	wantMatch(t, talk, `connection refused`)
	_, talk = command(t, 2, "access", "list", "--admin-url", url)
	wantMatch(t, talk, `--admin-url needs --admin-token`)
	_, talk = command(t, 2, "access", "list", "--admin-token", token)
	wantMatch(t, talk, `are for --admin-url`)
	_, talk = command(t, 2, "access", "list", "--admin-url", "http://127.0.0.1:1", "--admin-token", token)
	wantMatch(t, talk, `--admin-url: want https://host:port`)
	write(t, wrong, "guessme")
	_, talk = command(t, 2, "access", "list", "--admin-url", url, "--admin-token", wrong)
	wantMatch(t, talk, `--admin-token: .*the token can be guessed`)
	if s := r.State(); s.Remote == "" || s.Socket == "" {
		t.Errorf("%+v", s)
	}
}

// The status says what was asked, and how often in vain.
func TestStatusCountsCommands(t *testing.T) {
	r, _ := operated(t, nil)
	r.on(t, 1, "access", "unban", key.NewPrivate().Public().String())
	client := control.OverSocket(r.State().Socket)
	defer client.Close()
	s, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantMatch(t, string(s), `"control":\{"requests":3,"failed":0,`) // the version, the order, this
}
