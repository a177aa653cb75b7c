package unit

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/smallfile"
)

// HasCredential reports whether the service, as it is installed, is handed the credential
// of that name.
func (c Config) HasCredential(name string) bool {
	files, _ := filepath.Glob(c.Root + c.file() + ".d/*.conf")
	for _, file := range append(files, c.Root+c.file()) {
		text, err := smallfile.Read(file, 1<<20)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			for _, key := range []string{"LoadCredential=", "LoadCredentialEncrypted=", "SetCredential=", "SetCredentialEncrypted="} {
				if rest, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok && (rest == name || strings.HasPrefix(rest, name+":")) {
					return true
				}
			}
		}
	}
	return false
}

// Reads looks whether the service, as it is installed, will be able to read a file; nil:
// it will, or the file is not there. Lists of access (ACL) are not looked at.
func (c Config) Reads(path string) error {
	if hidden(path) {
		return fmt.Errorf("%s: the unit keeps the service out of home directories and /tmp: put it into /etc/detour", path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	who := c.who()
	for _, p := range []string{path, real} {
		for dir := filepath.Dir(p); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if info, err := os.Stat(dir); err == nil && !who.may(info, 1) {
				return fmt.Errorf("%s: the user %s of the service may not enter %s (%s): %s", path, User, dir, info.Mode(), c.remedy(path))
			}
		}
	}
	if info, err := os.Stat(real); err == nil && !who.may(info, 4) {
		return fmt.Errorf("%s: the user %s of the service may not read it (%s): %s", path, User, info.Mode(), c.remedy(path))
	}
	return nil
}

func (c Config) remedy(path string) string {
	name := filepath.Base(path)
	return fmt.Sprintf("copy it with install -g %s -m 640, or have systemd hand it over: LoadCredential=%s:%s beneath [Service] (systemctl edit %s), and credential:%s in its place here",
		User, name, path, c.Name, name)
}

// An account is who the service is. One that is to be made has no groups but its own.
type account struct {
	uid  int
	gids []int
}

func (c Config) who() account {
	uid, gid, err := c.Owner()
	if err != nil {
		return account{uid: -1}
	}
	a := account{uid, []int{gid}}
	text, err := smallfile.Read(c.Root+"/etc/group", 16<<20)
	if err != nil {
		return a
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 4 && slices.Contains(strings.Split(f[3], ","), User) {
			if n, err := strconv.Atoi(f[2]); err == nil {
				a.gids = append(a.gids, n)
			}
		}
	}
	return a
}

// may looks for one of the bits r (4), w (2) and x (1).
func (a account) may(info fs.FileInfo, bit fs.FileMode) bool {
	uid, gid, known := ownerOf(info)
	switch {
	case !known:
		return true
	case uid == a.uid:
		bit <<= 6
	case slices.Contains(a.gids, gid):
		bit <<= 3
	}
	return info.Mode()&bit != 0
}
