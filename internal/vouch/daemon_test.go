//go:build unix

package vouch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
)

// A daemonLike answers as tailscaled does.
type daemonLike struct {
	peers    map[key.Public]bool
	state    string
	old      bool // it knows no question about a key
	forbid   bool
	statuses atomic.Int32
}

func (d *daemonLike) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Host != "local-tailscaled.sock" || r.Header.Get("Tailscale-Cap") == "" || r.Header.Get("Origin")+r.Header.Get("Referer") != "" || d.forbid:
		http.Error(w, "access denied", http.StatusForbidden)
	case r.URL.Path == "/localapi/v0/whois" && d.old:
		http.Error(w, "invalid 'addr' parameter", http.StatusBadRequest)
	case r.URL.Path == "/localapi/v0/whois":
		asked, err := key.ParsePublic(r.URL.Query().Get("addr"))
		if err != nil || !d.peers[asked] {
			http.Error(w, "no match for IP:port", http.StatusNotFound)
			return
		}
		io.WriteString(w, `{"Node":{}}`)
	case r.URL.Path == "/localapi/v0/status":
		d.statuses.Add(1)
		peers := map[string]any{}
		if r.URL.Query().Get("peers") != "false" {
			for p := range d.peers {
				peers[p.String()] = map[string]any{"PublicKey": p.String(), "HostName": "h"}
			}
			peers["later"] = map[string]any{"PublicKey": "anotherkind:00"}
		}
		json.NewEncoder(w).Encode(map[string]any{"BackendState": d.state, "Self": map[string]any{"PublicKey": k(77).String()}, "Peer": peers})
	default:
		http.NotFound(w, r)
	}
}

// daemonAt serves a handler at a unix socket.
func daemonAt(t *testing.T, handler http.Handler) (socket string, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "d") // short: a path of a socket has 104 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	return socket, serveAt(t, socket, handler)
}

func serveAt(t *testing.T, socket string, handler http.Handler) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	stop = func() {
		server.Close()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func tailscaledAt(t *testing.T, socket string) *Daemon {
	t.Helper()
	s, err := NewDaemon(socket)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDaemonsAreAsked(t *testing.T) {
	for _, old := range []bool{false, true} {
		d := &daemonLike{peers: map[key.Public]bool{k(1): true}, state: "Running", old: old}
		socket, _ := daemonAt(t, d)
		s := tailscaledAt(t, socket)
		for n, want := range map[int]bool{1: true, 2: false} {
			if allow, err := s.Ask(context.Background(), k(n), netip.Addr{}); allow != want || err != nil {
				t.Errorf("old %v, key %d: %v, %v", old, n, allow, err)
			}
		}
		if old {
			if allow, err := s.Ask(context.Background(), k(77), netip.Addr{}); !allow || err != nil {
				t.Errorf("the machine itself: %v, %v", allow, err)
			}
			if n := d.statuses.Load(); n != 1 {
				t.Errorf("the whole list was asked for %d times", n)
			}
		}
		if err := s.Check(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// A daemon that does not know its tailnet says no to everybody, which is no answer.
func TestDaemonsThatDoNotKnowCannotAnswer(t *testing.T) {
	for state, want := range map[string]string{
		"NeedsLogin": `not logged in: run "tailscale up"`, "Stopped": "stopped", "Starting": "is starting", "NeedsMachineAuth": "waits for approval",
		"NoState": "not logged in", "": "in the state", "Later": `in the state "Later"`,
	} {
		for _, old := range []bool{false, true} {
			socket, _ := daemonAt(t, &daemonLike{state: state, old: old})
			s := tailscaledAt(t, socket)
			if allow, err := s.Ask(context.Background(), k(1), netip.Addr{}); allow || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q, old %v: %v, %v", state, old, allow, err)
			}
			if err := s.Check(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v", state, err)
			}
		}
	}
}

func TestSocketsThatDoNotWorkAreExplained(t *testing.T) {
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file, stale, link, datagram := filepath.Join(dir, "file"), filepath.Join(dir, "stale"), filepath.Join(dir, "link"), filepath.Join(dir, "datagram")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	os.Symlink("nowhere", link)
	u, err := net.ListenPacket("unixgram", datagram)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	forbidden, _ := daemonAt(t, &daemonLike{forbid: true})
	nonsense, _ := daemonAt(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "hello\nyou", http.StatusTeapot) }))
	web, _ := daemonAt(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "whois") {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, "<html>")
	}))
	for socket, want := range map[string]string{
		filepath.Join(dir, "none"): "there is no such socket: does tailscaled run here? In a container, mount the directory",
		file:                       "this is no socket",
		stale:                      "nobody listens behind the socket: tailscaled has ended",
		link:                       "it is a link to nowhere",
		datagram:                   "a socket of another kind",
		forbidden:                  "the daemon does not answer user",
		nonsense:                   `status 418 ("hello\nyou")`,
		web:                        "is this the socket of tailscaled?",
	} {
		allow, err := tailscaledAt(t, socket).Ask(context.Background(), k(1), netip.Addr{})
		if allow || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v; want %q", filepath.Base(socket), allow, err, want)
		}
	}
}

func TestWhoMayNotUseTheSocketIsTold(t *testing.T) {
	socket, _ := daemonAt(t, &daemonLike{state: "Running"})
	if err := os.Chmod(socket, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		os.Chmod(socket, 0)
	}
	if err := os.Chmod(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	s := tailscaledAt(t, socket)
	if os.Geteuid() == 0 {
		if err := syscall.Seteuid(65534); err != nil {
			t.Fatal(err)
		}
		defer syscall.Seteuid(0)
	}
	_, err := s.Ask(context.Background(), k(1), netip.Addr{})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("user %d may not use the socket (S", os.Geteuid())) || !strings.Contains(err.Error(), "group ") {
		t.Errorf("%v", err)
	}
}

// The daemon is dialled anew each time: it may be restarted, or come later.
func TestDaemonsMayBeRestarted(t *testing.T) {
	d := &daemonLike{peers: map[key.Public]bool{k(1): true}, state: "Running"}
	socket, stop := daemonAt(t, d)
	s := tailscaledAt(t, socket)
	for range 3 {
		if allow, err := s.Ask(context.Background(), k(1), netip.Addr{}); !allow || err != nil {
			t.Fatalf("%v, %v", allow, err)
		}
		stop()
		if allow, err := s.Ask(context.Background(), k(1), netip.Addr{}); allow || err == nil {
			t.Fatalf("without a daemon: %v, %v", allow, err)
		}
		stop = serveAt(t, socket, d)
	}
}

func TestSilentDaemonsAreNotWaitedFor(t *testing.T) {
	socket, _ := daemonAt(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	ctx, cancel := context.WithTimeoutCause(context.Background(), 50*time.Millisecond, ErrSlow)
	defer cancel()
	if _, err := tailscaledAt(t, socket).Ask(ctx, k(1), netip.Addr{}); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("%v", err)
	}
}

func FuzzTailscaledAnswer(f *testing.F) {
	for _, seed := range []string{`{"BackendState":"Running","Self":{"PublicKey":"` + aKey + `"},"Peer":{"` + aKey + `":{"PublicKey":"` + aKey + `"}}}`, `{"Peer":null}`, `{"Peer":{"x":null}}`, `[]`, "<html>"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := parseStatus(strings.NewReader(string(body)))
		if err != nil {
			return
		}
		for p := range s.keys() {
			if p.IsZero() {
				t.Error("no key is a peer")
			}
		}
	})
}
