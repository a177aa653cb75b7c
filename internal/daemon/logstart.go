package daemon

import (
	"os"

	"github.com/detour-relay/detour/internal/config"
)

// logStart tells the operator what has been started, and what will be in the way
// later.
func (d *Daemon) logStart(cfg config.Config) {
	stun := "off"
	if addr := d.stun.addr(); addr.IsValid() {
		stun = addr.String()
	}
	d.log.Info("relay started", "listen", d.listening(), "tls", cfg.TLS.Mode, "key", d.relay.PublicKey().String(),
		"stun", stun, "siblings", append([]string{}, SiblingNames(cfg)...), "pid", os.Getpid())
	if socket, https := d.control.Addrs(); socket != "" || https != "" {
		d.log.Info("commands can change the relay", "socket", socket, "https", https)
	}
	d.logHTTP(cfg)
	if d.meshKeyCount > 0 {
		d.log.Info("relays with the same mesh key are siblings", "from", d.meshKeysFrom, "count", d.meshKeyCount)
	}
	d.warnOfMeshKey(cfg)
	if limit := descriptors(); limit.Few && !cfg.Dev {
		d.log.Warn("this process may open few files and sockets, and each peer takes one", "limit", limit.Limit,
			"remedy", "set LimitNOFILE= in the systemd unit, or raise it with ulimit -n before the start")
	}
}
