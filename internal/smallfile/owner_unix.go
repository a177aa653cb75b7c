//go:build unix

package smallfile

import (
	"os"
	"path/filepath"
	"syscall"
)

// keepOwner gives a new file to whom the old one belongs, if its directory is that one's,
// too. Only root can, and only root has to.
func keepOwner(from, to string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	old, known := statOf(to)
	dir, knownDir := statOf(filepath.Dir(to))
	if !known || !knownDir || old.Uid == 0 || old.Uid != dir.Uid {
		return nil
	}
	return os.Chown(from, int(old.Uid), int(old.Gid))
}

// giveToDirectory gives a file that root has made to whom its directory belongs.
func giveToDirectory(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	dir, known := statOf(filepath.Dir(f.Name()))
	if !known || dir.Uid == 0 {
		return nil
	}
	return f.Chown(int(dir.Uid), int(dir.Gid))
}

// statOf does not follow a link: what is behind it may be somebody else's.
func statOf(path string) (*syscall.Stat_t, bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return s, ok
}

// OtherOwner names the user to whom a file belongs, if that is another than who asks.
func OtherOwner(path string) string {
	s, known := statOf(path)
	if !known || int(s.Uid) == os.Geteuid() {
		return ""
	}
	return account("/etc/passwd", int(s.Uid))
}
