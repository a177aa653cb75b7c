package operate

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/internal/reach/errno"
	"github.com/detour-relay/detour/internal/smallfile"
)

const (
	// socketVariable is that of the setting, so that one environment is enough.
	socketVariable = "DETOUR_ADMIN_SOCKET"
)

// target are the flags that say which running relay is meant.
type target struct {
	socket, url, token string
	trust              cli.TargetFlags
}

func (t *target) add(flags *pflag.FlagSet) {
	flags.StringVar(&t.socket, "admin-socket", "", "`path` of the relay's admin socket (default $"+socketVariable+", else where the relay of this machine has it)")
	flags.StringVar(&t.url, "admin-url", "", "ask the relay at this `URL`, https://host:port, which its --admin-https answers at")
	flags.StringVar(&t.token, "admin-token", "", "`file` with the token for --admin-url")
	flags.StringVar(&t.trust.CAFile, "admin-ca", "", "trust the certificates of this PEM `file` for --admin-url instead of the system's")
	flags.StringVar(&t.trust.CertName, "admin-cert-name", "", "certificate to accept from --admin-url: sha256-raw: and its `pin`, or the name to verify instead of the host")
	t.trust.Prefix = "admin-"
}

// given reports whether any of the flags was.
func (t *target) given() bool {
	return t.socket != "" || t.url != "" || t.token != "" || t.trust.CAFile != "" || t.trust.CertName != ""
}

// A relay that answers, and where.
type running struct {
	*control.Client
	at     string
	target *target
}

// open finds the relay.
func (t *target) open(ctx context.Context) (*running, error) {
	switch {
	case t.url != "" && t.socket != "":
		return nil, cli.Usagef("--admin-url and --admin-socket name two ways to a relay: leave one out")
	case t.url != "":
		return t.openURL()
	case t.token != "" || t.trust.CAFile != "" || t.trust.CertName != "":
		return nil, cli.Usagef("--admin-token, --admin-ca and --admin-cert-name are for --admin-url: add it, or leave them out")
	}
	return t.openSocket(ctx)
}

func (t *target) openURL() (*running, error) {
	u, err := url.Parse(t.url)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, cli.Usagef("--admin-url: want https://host:port, as --admin-https of the relay has it")
	}
	if t.token == "" {
		return nil, cli.Usagef("--admin-url needs --admin-token: the file with the token of the relay")
	}
	secret, err := control.ReadToken(t.token)
	if err != nil {
		return nil, cli.Usagef("--admin-token: %w", err)
	}
	dial, err := t.trust.Config(t.url)
	if err != nil {
		return nil, err
	}
	way, err := reach.New(reach.Config{URL: t.url, RootCAs: dial.RootCAs, CertName: dial.CertName})
	if err != nil {
		return nil, cli.Usagef("--admin-url: %w", err)
	}
	return &running{control.OverNetwork(u, way.TLSConfig(), way.Proxy, secret), t.url, t}, nil
}

// openSocket takes the first socket at which a relay answers.
func (t *target) openSocket(ctx context.Context) (*running, error) {
	paths, hint := t.sockets()
	var tried []string
	for _, path := range paths {
		client := control.OverSocket(path)
		_, err := client.Version(ctx)
		if err == nil || !errors.Is(err, control.ErrUnanswered) {
			return &running{client, path, t}, nil
		}
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		tried = append(tried, path+": "+whyNot(path, err))
	}
	return nil, cli.Unansweredf("no relay answers (%s): %s", strings.Join(tried, "; "), hint)
}

// sockets are where the relay may answer, the likeliest first, and what to do if it
// does not.
func (t *target) sockets() (paths []string, hint string) {
	for _, path := range []string{t.socket, os.Getenv(socketVariable)} {
		if path != "" {
			return []string{path}, "is it running, and is this its --admin-socket?"
		}
	}
	hint = "start it, or name its socket with --admin-socket, or its address with --admin-url"
	file := cmp.Or(os.Getenv(config.FileVariable), relaycmd.DefaultFile)
	switch path, err := configured(file); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		hint = "name its socket with --admin-socket, for the file of settings does not say where it is: " + err.Error()
	case path == "":
		hint = file + " says that there is no admin socket"
	default:
		paths = append(paths, path)
	}
	for _, dir := range daemon.StateDirs() {
		if path := filepath.Join(dir, control.SocketName); !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths, hint
}

// configured is where the file of settings has the socket; empty: nowhere. What is
// wrong in the file does not matter, if it says that all the same: the relay runs with
// what stood there before.
func configured(file string) (path string, err error) {
	contents, err := smallfile.Read(file, config.MostFile)
	if err != nil {
		return "", err
	}
	l := config.Load(config.Sources{File: file, Contents: contents})
	if l.Config.AdminSocket == "" && l.Config.StateDir == "" && l.Err() != nil {
		return "", l.Err()
	}
	return daemon.SocketPath(l.Config)
}

// whyNot says why nobody answers at a socket.
func whyNot(path string, err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "is not there"
	case errors.Is(err, errno.ConnectionRefused):
		return "nobody listens there any more"
	case errors.Is(err, os.ErrPermission):
		return smallfile.Refusal(path) + ": run this as its owner, or with sudo"
	}
	return strings.TrimPrefix(err.Error(), control.ErrUnanswered.Error()+": ")
}

// failed is an error of a command: what the relay said, or that it said nothing.
func (r *running) failed(err error) error {
	if err == nil {
		return nil
	}
	if r.target.url != "" && errors.Is(err, control.ErrUnanswered) {
		return r.target.trust.Explain(r.at, err)
	}
	if said, ok := errors.AsType[*control.Error](err); ok && said.Status != 429 && said.Status != 503 {
		return said
	}
	return cli.Unansweredf("%s: %w", r.at, err)
}
