//go:build unix

package initcmd

import (
	"os"
	"syscall"
)

// An owner is whom a file belongs to, as far as that is known.
type owner struct {
	uid, gid int
	known    bool
}

func ownerOf(path string) owner {
	info, err := os.Stat(path)
	if err != nil {
		return owner{}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return owner{}
	}
	return owner{int(stat.Uid), int(stat.Gid), true}
}

// take gives a file to the owner. Only root can, and only root has to.
func (o owner) take(path string) {
	if o.known && os.Geteuid() == 0 {
		os.Chown(path, o.uid, o.gid)
	}
}
