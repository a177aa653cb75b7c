// Package running finds the running server that a command is about, a relay or a
// coordinator: at its admin socket on this machine, without being told, or at its https
// address with a token.
package running

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/internal/reach/errno"
	"github.com/detour-relay/detour/internal/smallfile"
)

// A Kind is what kind of servers is looked for, and how the flags are called.
type Kind struct {
	Who string // "relay"

	// The names of flags, without dashes. Prefix stands before ca and cert-name.
	Socket, URL, Token, Prefix string

	// Server is Who, if that is no relay.
	Server string

	// Variable of the environment has the path of the socket; empty: none has.
	Variable string

	// Sockets are where one may answer, the likeliest first, and what to do if none does.
	Sockets func() (paths []string, hint string)
}

// A Target says which running server is meant.
type Target struct {
	Kind
	socket, url, token string
	trust              cli.TargetFlags
}

// Add defines the flags.
func (t *Target) Add(flags *pflag.FlagSet) {
	t.trust.Prefix, t.trust.Server = t.Prefix, t.Server
	variable := ""
	if t.Variable != "" {
		variable = "$" + t.Variable + ", else "
	}
	flags.StringVar(&t.socket, t.Socket, "", "`path` of the "+t.Who+"'s admin socket (default "+variable+"where the "+t.Who+" of this machine has it)")
	flags.StringVar(&t.url, t.URL, "", "ask the "+t.Who+" at this `URL`, https://host:port[=sha256-raw:pin], which its --admin-https answers at")
	flags.StringVar(&t.token, t.Token, "", "`file` with the token for --"+t.URL)
	flags.StringVar(&t.trust.CAFile, t.Prefix+"ca", "", "trust the certificates of this PEM `file` for --"+t.URL+" instead of the system's")
	flags.StringVar(&t.trust.CertName, t.Prefix+"cert-name", "", "certificate to accept from --"+t.URL+": sha256-raw: and its `pin`, or the name to verify instead of the host")
}

// Given reports whether any of the flags was.
func (t *Target) Given() bool {
	return t.socket != "" || t.url != "" || t.token != "" || t.trust.CAFile != "" || t.trust.CertName != ""
}

// Flags are those with which a further command finds the same server, with a blank before
// each; empty: it finds it by itself.
func (t *Target) Flags() (text string) {
	for _, f := range []struct{ name, value string }{
		{t.Socket, t.socket}, {t.URL, t.url}, {t.Token, t.token}, {t.Prefix + "ca", t.trust.CAFile}, {t.Prefix + "cert-name", t.trust.CertName},
	} {
		if f.value != "" {
			text += " --" + f.name + " " + f.value
		}
	}
	return text
}

// A Server is one that answers, and where.
type Server struct {
	*control.Client
	At     string
	target *Target
}

// Open finds the server.
func (t *Target) Open(ctx context.Context) (*Server, error) {
	switch {
	case t.url != "" && t.socket != "":
		return nil, cli.Usagef("--%s and --%s name two ways to a %s: leave one out", t.URL, t.Socket, t.Who)
	case t.url != "":
		return t.openURL()
	case t.token != "" || t.trust.CAFile != "" || t.trust.CertName != "":
		return nil, cli.Usagef("--%s, --%sca and --%scert-name are for --%s: add it, or leave them out", t.Token, t.Prefix, t.Prefix, t.URL)
	}
	return t.openSocket(ctx)
}

// pinned is how a URL is given the pin of its server.
const pinned = "=" + pin.Prefix

func (t *Target) openURL() (*Server, error) {
	address := t.url
	if i := strings.LastIndex(address, pinned); i >= 0 {
		if t.trust.CertName != "" {
			return nil, cli.Usagef("--%s has a pin, and there is --%scert-name: leave one out", t.URL, t.Prefix)
		}
		address, t.trust.CertName = address[:i], address[i+1:]
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, cli.Usagef("--%s: want https://host:port, as --admin-https of the %s has it", t.URL, t.Who)
	}
	if t.token == "" {
		return nil, cli.Usagef("--%s needs --%s: the file with the token of the %s", t.URL, t.Token, t.Who)
	}
	secret, err := control.ReadToken(t.token)
	if err != nil {
		return nil, cli.Usagef("--%s: %w", t.Token, err)
	}
	dial, err := t.trust.Config(address)
	if err != nil {
		return nil, err
	}
	way, err := reach.New(reach.Config{URL: address, RootCAs: dial.RootCAs, CertName: dial.CertName})
	if err != nil {
		return nil, cli.Usagef("--%s: %w", t.URL, err)
	}
	return &Server{control.OverNetwork(u, way.TLSConfig(), way.Proxy, secret), address, t}, nil
}

// openSocket takes the first socket at which a server answers.
func (t *Target) openSocket(ctx context.Context) (*Server, error) {
	paths, hint := t.sockets()
	var tried []string
	for _, path := range paths {
		client := control.OverSocket(path)
		_, err := client.Version(ctx)
		if err == nil || !errors.Is(err, control.ErrUnanswered) {
			return &Server{client, path, t}, nil
		}
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		tried = append(tried, path+": "+whyNot(path, err))
	}
	return nil, cli.Unansweredf("no %s answers (%s): %s", t.Who, strings.Join(tried, "; "), hint)
}

func (t *Target) sockets() (paths []string, hint string) {
	path := t.socket
	if path == "" && t.Variable != "" {
		path = os.Getenv(t.Variable)
	}
	if path != "" {
		return []string{path}, "is it running, and is this its --admin-socket?"
	}
	return t.Sockets()
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

// Failed is an error of a command: what the server said, or that it said nothing.
func (s *Server) Failed(err error) error {
	if err == nil {
		return nil
	}
	if s.target.url != "" && errors.Is(err, control.ErrUnanswered) {
		return s.target.trust.Explain(s.At, err)
	}
	if said, ok := errors.AsType[*control.Error](err); ok && said.Status != 429 && said.Status != 503 {
		if said.Status == http.StatusUnauthorized && s.target.token != "" {
			return fmt.Errorf("%w: --%s has to be the file that the %s has as --admin-token", said, s.target.Token, s.target.Who)
		}
		return said
	}
	return cli.Unansweredf("%s: %w", s.At, err)
}
