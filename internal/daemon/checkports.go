package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/reach/errno"
	"github.com/detour-relay/detour/internal/stun"
)

// askTimeout bounds the question whether a relay runs already.
const askTimeout = 2 * time.Second

// addresses are bound, all of them at once, and let go: those of the settings for which
// one returns true. A relay that is running may have them.
func (c *checker) addresses(cfg config.Config, running string, one func(setting string) bool) {
	var bound []io.Closer
	defer func() {
		for _, socket := range bound {
			socket.Close()
		}
	}()
	for _, a := range []struct {
		setting, address string
		bind             func(string) (io.Closer, error)
	}{
		{"listen", cfg.Listen, bindTCP},
		{"http", cfg.HTTP, bindTCP},
		{"stun", stunToCheck(cfg), bindSTUN},
		{"admin", cfg.Admin, bindTCP},
		{"metrics", cfg.Metrics, bindTCP},
		{"pprof", cfg.Pprof, bindTCP},
		{"admin-https", cfg.AdminHTTPS, bindTCP},
	} {
		if a.address == "" || a.address == config.HTTPOff || !one(a.setting) {
			continue
		}
		if path, isUnix := cfg.ListenPath(); isUnix && a.setting == "listen" {
			c.socket(cfg, path, running)
			continue
		}
		socket, err := a.bind(a.address)
		if err == nil {
			bound = append(bound, socket)
			c.say(Fine, a.setting, "%s is free", a.address)
			continue
		}
		c.taken(a.setting, a.address, err, running)
	}
}

// socket looks at the path of the unix socket.
func (c *checker) socket(cfg config.Config, path, running string) {
	switch err := front.CheckSocket(cfg); {
	case err == nil:
		c.say(Fine, "listen", "%s is free", path)
	case errors.Is(err, control.ErrAnswered) && running != "":
		c.say(Noted, "listen", "%s is in use by %s", path, running)
	default:
		c.wrong("listen", err)
	}
}

// taken says why an address cannot be listened on. The relay that runs with these
// settings has it, and who asks may have less rights than the service.
func (c *checker) taken(setting, address string, err error, running string) {
	switch {
	case errors.Is(err, errno.AddressInUse) && running != "":
		c.say(Noted, setting, "%s is in use by %s", address, running)
	case errors.Is(err, errno.AccessDenied):
		c.say(Noted, setting, "%s is not for this user: %s", address, errno.BindRemedy(err, ""))
	default:
		err = front.CannotListen(setting, err)
		if setting == "http" {
			err = cannotListenHTTP(c.cfg, err)
		}
		c.wrong(setting, err)
	}
}

func bindTCP(address string) (io.Closer, error) { return Listen(address) }

func bindSTUN(address string) (io.Closer, error) {
	return stun.Listen(context.Background(), stun.Config{
		Addr: address, Healthy: func() bool { return false }, Logger: slog.New(slog.DiscardHandler),
	})
}

// stunToCheck is where STUN would be answered; empty: nowhere that is known before.
func stunToCheck(cfg config.Config) string {
	_, port, _ := net.SplitHostPort(cfg.Listen)
	if _, isUnix := cfg.ListenPath(); isUnix {
		port = "0"
	}
	n, err := net.LookupPort("tcp", port)
	if cfg.STUN == config.STUNOff || err != nil || cfg.STUN == "" && cfg.Dev && n == 0 {
		return ""
	}
	return stunAddr(cfg, uint16(n))
}

// runningRelay asks at the admin socket whether a relay runs with these settings, and
// says which; empty: none.
func runningRelay(ctx context.Context, cfg config.Config) string {
	path, err := SocketPath(cfg)
	if err != nil || path == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client := control.OverSocket(path)
	defer client.Close()
	switch v, err := client.Version(ctx); {
	case err == nil:
		return fmt.Sprintf("the relay that runs (pid %d)", v.PID)
	case errors.Is(err, fs.ErrPermission):
		return "what may be the relay that runs: this user may not ask it"
	}
	return ""
}
