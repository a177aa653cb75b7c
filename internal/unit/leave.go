package unit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Runs reports whether the service does.
func (c Config) Runs(ctx context.Context) bool {
	return run(ctx, "systemctl", "is-active", "--quiet", c.Name) == nil
}

// Give makes a directory below StateDir and the files in it those of the user of the
// service, who has to be there.
func (c Config) Give(dir string) error {
	uid, gid, err := c.Owner()
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(c.Root+dir, "*"))
	for _, path := range append(files, c.Root+dir, c.Root+StateDir) {
		err = errors.Join(err, os.Lchown(path, uid, gid))
	}
	if err != nil {
		return fmt.Errorf("the user %s does not get %s: %w", User, dir, err)
	}
	return nil
}

// Uninstall ends a service for good, and takes its unit away. What the service has kept
// stays, as do the program and the user.
func Uninstall(ctx context.Context, c Config) ([]Step, error) {
	i := &Installer{Config: c}
	if _, err := os.Stat(c.Root + c.file()); errors.Is(err, fs.ErrNotExist) {
		i.kept("there is no %s", c.file())
		return i.steps, nil
	}
	if err := run(ctx, "systemctl", "disable", "--now", c.Name); err != nil {
		return nil, fmt.Errorf("systemctl disable --now %s: %w", c.Name, err)
	}
	i.did("the service has ended, and does not start with the machine any more")
	if err := os.Remove(c.Root + c.file()); err != nil {
		return i.steps, err
	}
	i.did("%s is gone", c.file())
	if err := run(ctx, "systemctl", "daemon-reload"); err != nil {
		return i.steps, fmt.Errorf("systemd does not forget the unit: %w", err)
	}
	return i.steps, nil
}
