package daemon

import (
	"errors"
	"fmt"
	"strings"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/decoy"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/hostname"
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
	if cfg, err = front.CheckNames(cfg); err != nil {
		return cfg, err
	}
	for _, check := range addressChecks {
		if err := check(cfg); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// problems are all that complete finds wrong.
func problems(given config.Config) []*config.Error {
	all := given.Problems()
	note := func(err error) {
		if e, ok := errors.AsType[*config.Error](err); ok {
			all = append(all, e)
		}
	}
	cfg, _ := given.Complete() // what follows from other settings is there all the same
	_, err := front.CheckNames(cfg)
	note(err)
	for _, check := range append(addressChecks, CheckAccess) {
		note(check(cfg))
	}
	return all
}

// addressChecks ask those who will use the addresses.
var addressChecks = []func(config.Config) error{checkListen, checkProxies, checkSNI, checkHTTP, checkSTUN, checkHome, checkBootstrap, checkMesh, checkControl, checkOperators}

func checkListen(cfg config.Config) error {
	if _, isUnix := cfg.ListenPath(); isUnix || strings.HasPrefix(cfg.Listen, "/") {
		return nil // the settings themselves say what is wrong with a path
	}
	if err := hostname.CheckListen(cfg.Listen); err != nil {
		return &config.Error{Setting: "listen", What: err.Error()}
	}
	return nil
}

func checkSTUN(cfg config.Config) error {
	if cfg.STUN == "" || cfg.STUN == config.STUNOff {
		return nil
	}
	if err := stun.CheckAddr(cfg.STUN); err != nil {
		return &config.Error{Setting: "stun", Err: fmt.Errorf("%w; or off", err)}
	}
	return nil
}

func checkHome(cfg config.Config) error {
	if err := decoy.Check(cfg.Home); err != nil {
		return &config.Error{Setting: "home", What: err.Error()}
	}
	if cfg.Discreet && cfg.Home == "" {
		return &config.Error{Setting: "discreet", What: "has {home} answer, and that says what this server is", Remedy: "set {home} to a directory, a server, a URL or blank"}
	}
	return nil
}

func checkMesh(cfg config.Config) error {
	_, err := meshEntries(cfg)
	return err
}

func checkOperators(cfg config.Config) error {
	if err := front.CheckLoopback("admin", cfg.Admin, "127.0.0.1:9340", "it shows the addresses of peers and siblings"); err != nil {
		return err
	}
	if err := front.CheckMetrics(cfg, "relay"); err != nil {
		return err
	}
	return front.CheckLoopback("pprof", cfg.Pprof, "127.0.0.1:6060", "profiles show what the program holds")
}

// meshEntries are the siblings that are named one by one.
func meshEntries(cfg config.Config) ([]mesh.Entry, error) {
	entries, err := mesh.ParseEntries(strings.Join(cfg.Mesh.With, ","))
	if err != nil {
		return nil, &config.Error{Setting: "mesh.with", Err: err}
	}
	return entries, nil
}
