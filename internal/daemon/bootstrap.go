package daemon

import (
	"slices"

	"github.com/detour-relay/detour/internal/bootstrap"
	"github.com/detour-relay/detour/internal/config"
)

// openBootstrap has the names that clients without DNS ask for.
func (d *Daemon) openBootstrap(cfg config.Config) (err error) {
	d.names, err = bootstrap.New(bootstrap.Config{Published: cfg.Bootstrap.Names, Unpublished: cfg.Bootstrap.Unpublished, Logger: d.log})
	return err
}

// reloadBootstrap has other names looked up.
func (d *Daemon) reloadBootstrap(from, to config.Config) (apply func(), err error) {
	if slices.Equal(from.Bootstrap.Names, to.Bootstrap.Names) && slices.Equal(from.Bootstrap.Unpublished, to.Bootstrap.Unpublished) {
		return nil, nil
	}
	return d.names.Prepare(to.Bootstrap.Names, to.Bootstrap.Unpublished)
}

func checkBootstrap(cfg config.Config) error {
	if err := bootstrap.Check(cfg.Bootstrap.Names); err != nil {
		return &config.Error{Setting: "bootstrap.names", Err: err}
	}
	if err := bootstrap.Check(cfg.Bootstrap.Unpublished); err != nil {
		return &config.Error{Setting: "bootstrap.unpublished", Err: err}
	}
	return nil
}
