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

// CreateFile writes a new key file, readable by its owner only, and makes the directories above it, likewise. The file
// appears whole or not at all. If the path exists already, it stays as it is and the error is fs.ErrExist.
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
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text := k.Text()
	data, err := json.MarshalIndent(keyFile{&text}, "", "\t")
	if err != nil {
		return err
	}
	return WriteNew(path, data, ModeSecret)
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
