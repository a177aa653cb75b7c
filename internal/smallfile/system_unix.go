//go:build unix

package smallfile

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

const nonBlocking = syscall.O_NONBLOCK

// permissionRemedy is what an operator does about a file that is not ours to read.
const permissionRemedy = `: copy it where this user may read it (certificates: by a deploy hook of the ACME client, install -m 640 -g GROUP), ` +
	`hand it over with systemd's LoadCredential=, or give this user access: by chown to what this program keeps itself, by one of its groups to the rest`

// whoami names the user of this process.
func whoami() string { return "user " + account("/etc/passwd", os.Geteuid()) }

// ownerOf names the owner and the group of a file.
func ownerOf(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("owner %s, group %s", account("/etc/passwd", int(s.Uid)), account("/etc/group", int(s.Gid)))
}

// account returns the name that belongs to a number, as far as the file knows. The
// package os/user would know more, and bring in the C library.
func account(file string, id int) string {
	text, _ := os.ReadFile(file)
	number := strconv.Itoa(id)
	for line := range bytes.Lines(text) {
		if f := bytes.SplitN(line, []byte(":"), 4); len(f) == 4 && string(f[2]) == number {
			return string(f[0])
		}
	}
	return number
}

// OpenToOthers reports whether others than owner and group may read a file.
func OpenToOthers(path string) bool { return hasMode(path, 0o004) }

// WritableByOthers reports whether others than owner and group may write to a file, or
// replace what is in a directory: sticky ones let only owners do that.
func WritableByOthers(path string) bool { return hasMode(path, 0o002) }

func hasMode(path string, bits fs.FileMode) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&bits != 0 && info.Mode()&fs.ModeSticky == 0
}
