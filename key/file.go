package key

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/text"
)

// A key file is a JSON object with one member; other members are ignored.
type keyFile struct {
	PrivateKey *string
}

// keyForm is what a key file holds.
const keyForm = `want {"PrivateKey": "privkey:<64 hex digits>"}`

// LoadFile reads the private key of a key file, as derper and Detour write it, or as Headscale does: the key alone. The
// error names the path and what is wrong with the file, and is fs.ErrNotExist if there is none.
func LoadFile(path string) (Private, error) {
	data, err := smallfile.Read(path, mostBytes)
	if err != nil {
		return Private{}, fmt.Errorf("key file: %w", err) // names the path already
	}
	k, err := parseFile(data)
	if err != nil {
		return Private{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return k, nil
}

func parseFile(data []byte) (Private, error) {
	content, err := decode(data)
	switch {
	case errors.Is(err, errEmpty):
		return Private{}, fmt.Errorf("%w: restore it, or remove it to get a new key, which makes this another relay", err)
	case err != nil:
		return Private{}, err
	}
	if plain := withoutComments(content); !strings.ContainsAny(plain, "{[") && strings.TrimSpace(plain) != "null" {
		return parseBare(plain)
	}
	return parseJSON([]byte(content))
}

// withoutComments leaves out the lines that begin with #.
func withoutComments(content string) string {
	var out strings.Builder
	for line := range strings.Lines(content) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// parseBare reads a key that stands alone, with what people put around it.
func parseBare(bare string) (Private, error) {
	bare = unwrap(bare)
	if strings.HasPrefix(bare, privatePrefix) {
		k, err := ParsePrivate(bare)
		if stray := strayIn(bare); err != nil && stray != nil {
			err = stray
		}
		return k, err
	}
	if _, err := parseHex(bare); err == nil {
		return Private{}, fmt.Errorf("%d hex digits alone could be any key: if they are this relay's private key and no mesh key, write %q in front of them",
			hexLen, privatePrefix)
	}
	if what := foreign(bare); what != "" {
		return Private{}, fmt.Errorf("%s, no private key of a relay; %s", what, keyForm)
	}
	return Private{}, fmt.Errorf("neither JSON nor a key; %s", keyForm)
}

// parseJSON does not wrap the errors of encoding/json: some of them repeat what stood in the file.
func parseJSON(data []byte) (Private, error) {
	var file keyFile
	err := json.Unmarshal(data, &file)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		if stray := strayIn(string(data)); stray != nil {
			return Private{}, stray
		}
		line, column := text.Place(data, max(0, int(syntax.Offset)-1)) // Offset counts what was read
		return Private{}, fmt.Errorf(`line %d, column %d: not JSON; %s`, line, column, keyForm)
	}
	if err != nil || file.PrivateKey == nil {
		return Private{}, fmt.Errorf(`no private key in it; %s`, keyForm)
	}
	if line := secondKey(data); line > 0 {
		return Private{}, fmt.Errorf("line %d: a second PrivateKey: keep the one whose relay this is", line)
	}
	return parseBare(*file.PrivateKey)
}

// secondKey returns the line of a second PrivateKey of an object that is known to be one; 0 if there is none.
// encoding/json takes the last in silence, in whichever case it is written.
func secondKey(data []byte) (line int) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.Token() // the brace
	for found := false; decoder.More(); {
		name, err := decoder.Token()
		if member, ok := name.(string); ok && strings.EqualFold(member, "PrivateKey") {
			if found {
				line, _ = text.Place(data, int(decoder.InputOffset()))
				return line
			}
			found = true
		}
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			return 0
		}
	}
	return 0
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
	if err := smallfile.MakeDir(filepath.Dir(path)); err != nil {
		return err
	}
	secret := k.Text()
	data, err := json.MarshalIndent(keyFile{&secret}, "", "\t")
	if err != nil {
		return err
	}
	return smallfile.WriteNew(path, data, smallfile.ModeSecret)
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
