package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/detour-relay/detour/internal/smallfile"
)

// ReplaceFile writes a file so that whoever reads it finds the old text or the new one, never a part. The
// file behind a symbolic link is replaced, not the link.
func ReplaceFile(path string, text []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return smallfile.WriteOver(path, text, 0)
	case err != nil:
		return err
	case !old.Mode().IsRegular(): // a device or a pipe: nobody takes a part of it for the whole
		return os.WriteFile(path, text, 0o666)
	}
	return smallfile.WriteOver(path, text, old.Mode().Perm())
}
