package smallfile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ModeSecret is the mode of files that only their owner may read.
const ModeSecret fs.FileMode = 0o600

// WriteNew makes a file that appears whole or not at all, whatever ends the program or the machine meanwhile. If the path
// exists already, it stays as it is and the error is fs.ErrExist. Mode 0 stands for what new files usually have.
func WriteNew(path string, text []byte, mode fs.FileMode) error {
	return write(path, text, mode, moveNew)
}

// WriteOver is WriteNew for a path that may exist: who reads it finds the old text or the new one, never a part. What root
// writes over a file of a service stays that of the service.
func WriteOver(path string, text []byte, mode fs.FileMode) error {
	return write(path, text, mode, func(from, to string) error {
		if err := keepOwner(from, to); err != nil {
			return err
		}
		return os.Rename(from, to)
	})
}

// write makes a file aside and gives it its place by move.
func write(path string, text []byte, mode fs.FileMode, move func(from, to string) error) error {
	dir := filepath.Dir(path)
	aside := filepath.Join(dir, "."+rand.Text()+".tmp")
	defer os.Remove(aside) // what is left of it: nothing after a rename
	if err := writeSynced(aside, text, mode); err != nil {
		return nameFile(err, path)
	}
	if err := move(aside, path); err != nil {
		return nameFile(err, path)
	}
	syncDir(dir)
	return nil
}

// MakeDir makes a directory and those above it, for this user alone. What is there
// stays as it is.
func MakeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return ExplainWrite(path, err)
	}
	return nil
}

// nameFile says of an error the file that was asked for, not the one aside, and why.
func nameFile(err error, path string) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = &fs.PathError{Op: e.Op, Path: path, Err: e.Err}
	} else if e := (*os.LinkError)(nil); errors.As(err, &e) {
		err = &fs.PathError{Op: "write", Path: path, Err: e.Err}
	}
	return ExplainWrite(path, err)
}

func writeSynced(path string, text []byte, mode fs.FileMode) error {
	first := mode
	if mode == 0 {
		first = 0o666
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, first)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if mode != 0 { // in spite of the umask
		err = errors.Join(err, f.Chmod(mode))
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// moveNew gives a file the name path unless that name is taken. A hard link does both at once; where the file system has
// none, a look comes before the rename, and two programs that start in the same instant may overwrite each other.
func moveNew(from, path string) error {
	err := os.Link(from, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return os.Rename(from, path)
}

// syncDir makes the new name outlive a power cut, where the system can: without it the file is whole, but perhaps not there.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}
