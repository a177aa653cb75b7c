package front

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
)

// OpenSocket makes the unix socket at which a server listens by its settings. A listener
// that the process before has left there goes on.
func OpenSocket(cfg config.Config, inherited net.Listener) (*control.Socket, error) {
	path, _ := cfg.ListenPath()
	access, err := socketAccess(cfg)
	if err != nil {
		return nil, err
	}
	var socket *control.Socket
	if inherited != nil {
		socket, err = control.AdoptSocket(path, inherited, access)
	} else if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil { // the socket's own mode says who may
		socket, err = control.ListenShared(path, access)
	}
	if err != nil {
		return nil, Failed("listen", err, socketRemedy(err))
	}
	return socket, nil
}

// CheckSocket says why no socket can be made as the settings want it, making none.
func CheckSocket(cfg config.Config) error {
	path, _ := cfg.ListenPath()
	if _, err := socketAccess(cfg); err != nil {
		return err
	}
	if err := control.CheckSocket(path); err != nil {
		return Failed("listen", err, socketRemedy(err))
	}
	return nil
}

func socketRemedy(err error) string {
	const elsewhere = "name another path with {listen}"
	switch {
	case errors.Is(err, control.ErrAnswered):
		return "stop what listens there, or " + elsewhere
	case errors.Is(err, control.ErrNoSocket):
		return "move it away, or " + elsewhere
	case errors.Is(err, fs.ErrPermission):
		return "have the service manager make the directory (RuntimeDirectory=detour), or " + elsewhere
	}
	return elsewhere
}

// socketAccess is who may open the socket.
func socketAccess(cfg config.Config) (access control.SocketAccess, err error) {
	access = control.SocketAccess{Mode: 0o660, Group: -1}
	if cfg.ListenMode != "" {
		mode, _ := strconv.ParseUint(cfg.ListenMode, 8, 9) // checked when the settings were
		access.Mode = fs.FileMode(mode)
	}
	if cfg.ListenGroup == "" {
		return access, nil
	}
	number := cfg.ListenGroup
	if strings.Trim(number, "0123456789") != "" {
		group, err := user.LookupGroup(cfg.ListenGroup)
		if err != nil {
			return access, &config.Error{Setting: "listen-group", Err: fmt.Errorf("%q: %w", cfg.ListenGroup, err), Remedy: "name the group of the proxy, such as www-data", Failed: true}
		}
		number = group.Gid
	}
	if access.Group, err = strconv.Atoi(number); err != nil {
		return access, &config.Error{Setting: "listen-group", Err: fmt.Errorf("%q is no group of this system", cfg.ListenGroup), Failed: true}
	}
	return access, nil
}
