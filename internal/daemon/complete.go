package daemon

import (
	"fmt"
	"net"
	"strings"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/internal/takeover"
)

// Complete returns the settings that a relay would run with, or a [*config.Error].
// Those that a process before hands over count instead of those given. It looks at
// no file.
func Complete(cfg config.Config, t *takeover.Takeover) (config.Config, error) {
	if text := t.Settings(); len(text) > 0 {
		var err error
		if cfg, err = config.Decode(text); err != nil {
			return cfg, fmt.Errorf("settings of the process before: %w", err)
		}
	}
	return complete(cfg)
}

func complete(given config.Config) (config.Config, error) {
	cfg, err := check(given)
	return cfg, given.Hide(err)
}

func check(cfg config.Config) (config.Config, error) {
	cfg, err := cfg.Complete()
	if err != nil {
		return cfg, err
	}
	if cfg.Hostname != "" {
		if cfg.Hostname, err = certs.ParseHost(cfg.Hostname); err != nil {
			return cfg, &config.Error{Setting: "hostname", Err: err}
		}
	}
	return cfg, checkAddresses(cfg)
}

// checkAddresses asks those who will use them.
func checkAddresses(cfg config.Config) error {
	if err := edge.CheckListen(cfg.Listen); err != nil {
		return &config.Error{Setting: "listen", What: err.Error()}
	}
	if cfg.STUN != "" && cfg.STUN != config.STUNOff {
		if err := stun.CheckAddr(cfg.STUN); err != nil {
			return &config.Error{Setting: "stun", Err: fmt.Errorf("%w; or off", err)}
		}
	}
	if err := edge.CheckHome(cfg.Home); err != nil {
		return &config.Error{Setting: "home", What: err.Error()}
	}
	if _, err := meshEntries(cfg); err != nil {
		return err
	}
	if err := checkControl(cfg); err != nil {
		return err
	}
	if err := checkLoopback("admin", cfg.Admin, "127.0.0.1:9340", "it shows the addresses of peers and siblings"); err != nil {
		return err
	}
	return checkLoopback("pprof", cfg.Pprof, "127.0.0.1:6060", "profiles show what the program holds")
}

// meshEntries are the siblings that are named one by one.
func meshEntries(cfg config.Config) ([]mesh.Entry, error) {
	entries, err := mesh.ParseEntries(strings.Join(cfg.Mesh.With, ","))
	if err != nil {
		return nil, &config.Error{Setting: "mesh.with", Err: err}
	}
	return entries, nil
}

// checkLoopback makes sure that what is for operators is for this machine only.
func checkLoopback(setting, address, example, why string) error {
	if address == "" {
		return nil
	}
	if err := edge.CheckListen(address); err != nil {
		return &config.Error{Setting: setting, What: err.Error()}
	}
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return &config.Error{Setting: setting, What: fmt.Sprintf("%q", address),
			Remedy: fmt.Sprintf("only loopback addresses, such as %s; %s", example, why)}
	}
	return nil
}
