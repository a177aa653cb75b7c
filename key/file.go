package key

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A key file is a JSON object with one member; other members are ignored.
type keyFile struct {
	PrivateKey *string
}

// LoadFile reads the private key of a key file. The error names the path and what is wrong with the file, and is
// fs.ErrNotExist if there is none.
func LoadFile(path string) (Private, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Private{}, fmt.Errorf("key file: %w", err) // names the path already
	}
	k, err := parseFile(data)
	if err != nil {
		return Private{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return k, nil
}

// parseFile does not wrap the errors of encoding/json: some of them repeat what stood in the file.
func parseFile(data []byte) (Private, error) {
	var file keyFile
	err := json.Unmarshal(data, &file)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return Private{}, fmt.Errorf(`not JSON (at byte %d of %d); want {"PrivateKey": "privkey:<64 hex digits>"}`, syntax.Offset, len(data))
	}
	if err != nil || file.PrivateKey == nil {
		return Private{}, errors.New(`no private key in it; want {"PrivateKey": "privkey:<64 hex digits>"}`)
	}
	return ParsePrivate(*file.PrivateKey)
}

// CreateFile writes a new key file, readable by its owner only, and makes the directories above it. The file appears
// whole or not at all. If the path exists already, it stays as it is and the error is fs.ErrExist.
func CreateFile(path string, k Private) error {
	if k.IsZero() {
		return fmt.Errorf("key file %s: %w", path, errZero)
	}
	if err := createFile(path, k); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	return nil
}

func createFile(path string, k Private) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	temp, err := writeTemp(dir, k)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	return moveNew(temp, path)
}

// writeTemp leaves a complete, synced key file of mode 0600 in dir.
func writeTemp(dir string, k Private) (name string, err error) {
	text := k.Text()
	data, err := json.MarshalIndent(keyFile{&text}, "", "\t")
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, ".key-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
}

// moveNew gives temp the name path unless that name is taken. A hard link does both at once; where the file system has
// none, a look comes before the rename, and two programs that start in the same instant may overwrite each other.
func moveNew(temp, path string) error {
	err := os.Link(temp, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return os.Rename(temp, path)
}

// LoadOrCreateFile reads the key file, or makes one with a fresh key if there is none. Programs that do this at the same
// time end up with the same key.
func LoadOrCreateFile(path string) (k Private, created bool, err error) {
	k, err = LoadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, false, err
	}
	fresh := NewPrivate()
	err = CreateFile(path, fresh)
	if errors.Is(err, fs.ErrExist) {
		k, err = LoadFile(path)
		return k, false, err
	}
	if err != nil {
		return Private{}, false, err
	}
	return fresh, true, nil
}
