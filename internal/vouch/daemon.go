package vouch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/detour-relay/detour/key"
)

// AutoSocket stands for the usual path of the daemon's socket.
const AutoSocket = "auto"

const (
	mostWhois   = 64 << 10
	mostStatus  = 256 << 20 // of a large tailnet
	statusFresh = 3 * time.Second
)

// daemonHost is what the daemon wants to be called (else 403), and daemonCap the
// version of its interface that we speak.
const (
	daemonHost = "local-tailscaled.sock"
	daemonCap  = "145"
)

// defaultSocket is where the system has the daemon's socket.
func defaultSocket() string {
	if runtime.GOOS == "darwin" {
		return "/var/run/tailscaled.socket"
	}
	return "/var/run/tailscale/tailscaled.sock"
}

// A Daemon is one of Tailscale on this machine: whom it sees in its tailnet may come
// in (spec 12.1). It dials anew each time: the daemon may have been restarted.
type Daemon struct {
	socket string
	client *http.Client

	// Of a daemon that is too old to be asked about a key; owned by who holds loading.
	loading chan struct{}
	peers   map[key.Public]bool
	peersAt time.Time
}

// NewDaemon takes the path of a socket, or AutoSocket.
func NewDaemon(given string) (*Daemon, error) {
	socket := given
	if socket == AutoSocket {
		socket = defaultSocket()
	}
	if strings.Contains(socket, "://") || strings.TrimSpace(socket) == "" {
		return nil, fmt.Errorf("%q: want the path of a unix socket, such as %s, or auto", socket, defaultSocket())
	}
	l := &Daemon{socket: socket, loading: make(chan struct{}, 1)}
	l.client = &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", socket)
			},
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return l, nil
}

// errTooOld: the daemon knows no question about a key.
var errTooOld = errors.New("this daemon is too old to be asked about a key")

// Ask is a yes for 200 and a no for 404, but only of a daemon that is in its tailnet:
// one that has been logged out, or is about to start, knows nobody.
func (l *Daemon) Ask(ctx context.Context, k key.Public, _ netip.Addr) (bool, error) {
	allow, err := l.whois(ctx, k)
	if errors.Is(err, errTooOld) {
		return l.hasPeer(ctx, k)
	}
	if err == nil && !allow {
		err = l.Check(ctx)
	}
	return allow && err == nil, err
}

func (l *Daemon) whois(ctx context.Context, k key.Public) (bool, error) {
	answer, err := l.get(ctx, "/localapi/v0/whois?addr="+url.QueryEscape(k.String()))
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostWhois))
	switch {
	case answer.StatusCode == http.StatusOK:
		return true, nil
	case answer.StatusCode == http.StatusNotFound:
		return false, nil
	case strings.Contains(string(body), "invalid 'addr' parameter"):
		return false, errTooOld
	case err != nil:
		return false, cause(ctx, err)
	}
	return false, daemonRefusal(answer.StatusCode, body)
}

func daemonRefusal(status int, body []byte) error {
	if status == http.StatusForbidden {
		return fmt.Errorf(`the daemon does not answer user %s: run the relay as root, or allow this user with "tailscale set --operator=USER"`, me())
	}
	return fmt.Errorf("the daemon answers with status %d (%.100q)", status, strings.TrimSpace(string(body)))
}

func (l *Daemon) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+daemonHost+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Tailscale-Cap", daemonCap)
	answer, err := l.client.Do(req)
	if err != nil {
		return nil, l.explain(cause(ctx, err))
	}
	return answer, nil
}

// A daemonStatus is what we want to know of a daemon's status.
type daemonStatus struct {
	BackendState string
	Self         struct{ PublicKey string }
	Peer         map[string]struct{ PublicKey string }
}

// Check says what is wrong with the daemon.
func (l *Daemon) Check(ctx context.Context) error {
	s, err := l.status(ctx, false)
	if err != nil {
		return err
	}
	return s.problem()
}

// problem says why the daemon does not know who is in its tailnet.
func (s *daemonStatus) problem() error {
	switch s.BackendState {
	case "Running":
		return nil
	case "NeedsLogin", "NoState":
		return errors.New(`the daemon is not logged in: run "tailscale up" on this machine`)
	case "NeedsMachineAuth":
		return errors.New("this machine waits for approval in its tailnet: approve it in the admin console")
	case "Stopped":
		return errors.New(`the daemon is stopped: run "tailscale up" on this machine`)
	case "Starting":
		return errors.New("the daemon is starting, and does not know its tailnet yet")
	}
	return fmt.Errorf("the daemon is in the state %.40q, in which it may not know its tailnet", s.BackendState)
}

func (l *Daemon) status(ctx context.Context, peers bool) (*daemonStatus, error) {
	path := "/localapi/v0/status"
	if !peers {
		path += "?peers=false"
	}
	answer, err := l.get(ctx, path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return nil, daemonRefusal(answer.StatusCode, body)
	}
	s, err := parseStatus(io.LimitReader(answer.Body, mostStatus))
	if err != nil && ctx.Err() != nil {
		err = cause(ctx, err)
	}
	return s, err
}

func parseStatus(from io.Reader) (*daemonStatus, error) {
	var s daemonStatus
	if err := json.NewDecoder(from).Decode(&s); err != nil {
		return nil, fmt.Errorf("the daemon's status cannot be read (%w): is this the socket of tailscaled?", err)
	}
	return &s, nil
}

// hasPeer looks the key up among all that an old daemon lists. The list is kept for
// some seconds, and got once at a time.
func (l *Daemon) hasPeer(ctx context.Context, k key.Public) (bool, error) {
	select {
	case l.loading <- struct{}{}:
		defer func() { <-l.loading }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	if l.peers == nil || time.Since(l.peersAt) > statusFresh {
		s, err := l.status(ctx, true)
		if err == nil {
			err = s.problem()
		}
		if err != nil {
			return false, err
		}
		l.peers, l.peersAt = s.keys(), time.Now()
	}
	return l.peers[k], nil
}

func (s *daemonStatus) keys() map[key.Public]bool {
	all := make(map[key.Public]bool, len(s.Peer)+1)
	add := func(said string) {
		if k, err := key.ParsePublic(said); err == nil {
			all[k] = true
		}
	}
	add(s.Self.PublicKey)
	for _, peer := range s.Peer {
		add(peer.PublicKey)
	}
	delete(all, key.Public{})
	return all
}

// Target is the path of the socket.
func (l *Daemon) Target() string { return l.socket }

// Close has nothing to do.
func (l *Daemon) Close() {}
