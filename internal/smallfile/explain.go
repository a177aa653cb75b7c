package smallfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mostLinks is how many symbolic links are followed from one to the next.
const mostLinks = 16

// An openError is why a file could not be read.
type openError struct {
	text string
	err  error // of the system
}

func (e *openError) Error() string { return e.text }
func (e *openError) Unwrap() error { return e.err }

// Explain says of a file that could not be read more than the system did.
func Explain(path string, err error) error {
	why, remedy := "", ""
	switch info, statErr := os.Stat(path); {
	case errors.Is(err, fs.ErrPermission):
		why, remedy = Refusal(path), permissionRemedy
	case errors.Is(err, fs.ErrNotExist):
		why = absence(path)
	case errors.Is(err, syscall.ELOOP):
		why = "its symbolic links lead in a circle: name the file itself"
	case errors.Is(err, syscall.ENOTDIR):
		why = fileInBetween(path)
	case statErr == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is %s: name a regular file", path, kindOf(info.Mode()))
	}
	return explained(path, err, why, remedy)
}

// ExplainWrite says of a file or directory that could not be made more than the system
// did.
func ExplainWrite(path string, err error) error {
	why, remedy := "", ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		why, remedy = refusalToWrite(filepath.Dir(path)), ": give it to this user (chown), or name another place"
	case errors.Is(err, syscall.EROFS):
		why = "nothing can be written there: name another place (under systemd, StateDirectory= makes one)"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		why = "make room there (df and df -i show it), or name another place"
	case errors.Is(err, fs.ErrNotExist):
		why = absence(path)
	case errors.Is(err, syscall.ENOTDIR):
		why = fileInBetween(path)
	}
	return explained(path, err, why, remedy)
}

// explained adds to what the system said; with no reason that is all there is.
func explained(path string, err error, why, remedy string) error {
	if why == "" {
		return err
	}
	op := err
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		op = fmt.Errorf("%s %s: %w", e.Op, path, e.Err)
	}
	return &openError{fmt.Sprintf("%v: %s%s", op, why, remedy), err}
}

// Refusal names the part of a path that lets this process no further, and whom.
func Refusal(path string) string {
	at, found := walk(path, func(part string) bool {
		_, err := os.Stat(part)
		return errors.Is(err, fs.ErrPermission)
	})
	if !found { // every part can be looked at, so it is the file that cannot be read
		if target, err := filepath.EvalSymlinks(path); err == nil {
			path = target
		}
		return fmt.Sprintf("%s may not read %s", whoami(), described(path))
	}
	return fmt.Sprintf("%s may not enter the directory %s", whoami(), described(filepath.Dir(at)))
}

// refusalToWrite names the directory in which this process may make nothing: the one
// that was asked for, or of those above it the first that is there.
func refusalToWrite(dir string) string {
	at, found := walk(dir, func(part string) bool {
		_, err := os.Stat(part)
		return errors.Is(err, fs.ErrPermission)
	})
	if found {
		return fmt.Sprintf("%s may not enter the directory %s", whoami(), described(filepath.Dir(at)))
	}
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return fmt.Sprintf("%s may not write into the directory %s", whoami(), described(dir))
		}
		dir = filepath.Dir(dir)
	}
}

// fileInBetween names the part of a path that is no directory and would have to be.
func fileInBetween(path string) string {
	for part := filepath.Clean(path); part != filepath.Dir(part); part = filepath.Dir(part) {
		if info, err := os.Stat(part); err == nil && !info.IsDir() {
			return part + " is no directory"
		}
	}
	return ""
}

// absence names a link that leads nowhere, or the directory that is missing.
func absence(path string) string {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		target, _ := os.Readlink(path)
		return fmt.Sprintf("%s is a symbolic link to %s, which is not there", path, target)
	}
	dir := filepath.Dir(path)
	at, found := walk(dir, func(part string) bool {
		_, err := os.Stat(part)
		return errors.Is(err, fs.ErrNotExist)
	})
	if !found {
		return ""
	}
	return "there is no directory " + at
}

// walk goes along the parts of a path, from the first to the last, and through the
// links on the way, until stop is true of one.
func walk(path string, stop func(part string) bool) (at string, found bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", false
	}
	return walkFrom(path, stop, mostLinks)
}

func walkFrom(path string, stop func(string) bool, links int) (at string, found bool) {
	for i := range path {
		if i == 0 || path[i] != filepath.Separator {
			continue
		}
		if at, found = walkPart(path[:i], stop, links); found {
			return at, true
		}
	}
	return walkPart(path, stop, links)
}

func walkPart(part string, stop func(string) bool, links int) (at string, found bool) {
	if target, err := os.Readlink(part); err == nil && links > 0 {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(part), target)
		}
		if at, found = walkFrom(target, stop, links-1); found {
			return at, true
		}
	}
	return part, stop(part)
}

// described is a path with its mode and owner.
func described(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return path
	}
	about := []string{info.Mode().String()}
	if owner := ownerOf(info); owner != "" {
		about = append(about, owner)
	}
	return fmt.Sprintf("%s (%s)", path, strings.Join(about, ", "))
}
