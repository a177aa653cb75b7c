//go:build unix

package unit

import (
	"io/fs"
	"syscall"
)

// ownerOf are the numbers of a file's owner and group.
func ownerOf(info fs.FileInfo) (uid, gid int, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}
