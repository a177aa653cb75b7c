package daemon

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/logtest"
)

// issued stands for what an authority issues.
func issued(cfg config.Config, dir string, log *slog.Logger) (certs.Source, error) {
	return certs.OpenSelf(certs.SelfConfig{Host: cfg.Hostname, StateDir: dir, Logger: log})
}

// Port 80 belongs to somebody else: what to do depends on who needs it.
func TestPort80IsTaken(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, test := range []struct{ challenge, want string }{
		{config.ChallengeALPN, "stop what listens there, or choose another address with http"},
		{config.ChallengeHTTP, "the authority asks at port 80 (acme.challenge http): stop the web server"},
	} {
		c := secured(t)
		c.TLS.Mode, c.ACME.Directory, c.ACME.Challenge, c.HTTP = config.TLSACME, "https://ca.example/dir", test.challenge, other.Addr().String()
		d, err := Open(c, Options{Issue: issued})
		if err == nil {
			d.Stop()
			t.Fatal("it is not")
		}
		if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), c.HTTP) {
			t.Errorf("%v, want %s", err, test.want)
		}
		if found := linesOf(Check(t.Context(), c)); !strings.Contains(found, test.want) {
			t.Errorf("a check finds %s, want %s", found, test.want)
		}
	}
}

func TestPort80IsTold(t *testing.T) {
	for want, http := range map[string]string{
		"plain HTTP answers the authority, and leads all others to https": "127.0.0.1:0",
		"where this relay does not listen: somebody else has to answer":   config.HTTPOff,
	} {
		c := secured(t)
		c.TLS.Mode, c.ACME.Directory, c.ACME.Challenge, c.HTTP = config.TLSACME, "https://ca.example/dir", config.ChallengeHTTP, http
		log := new(logtest.Log)
		d := open(t, c, Options{Issue: issued, Logger: slog.New(slog.NewTextHandler(log, nil))})
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s: the log says %s, want %s", http, log, want)
		}
		if at := d.State().HTTP; (at == "") != (http == config.HTTPOff) {
			t.Errorf("%s: it listens at %q", http, at)
		}
	}
}
