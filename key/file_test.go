package key

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestLoadFileRefuses(t *testing.T) {
	digits := strings.Repeat("5e", Len)
	for name, content := range map[string]string{
		"empty":             "",
		"bare key, short":   "privkey:" + digits[2:],
		"bare digits":       digits,
		"array":             "[]",
		"null":              "null",
		"no member":         "{}",
		"null member":       `{"PrivateKey": null}`,
		"number":            `{"PrivateKey": 5e5e5e5e}`,
		"empty text":        `{"PrivateKey": ""}`,
		"no prefix":         `{"PrivateKey": "` + digits + `"}`,
		"public":            `{"PrivateKey": "nodekey:` + digits + `"}`,
		"short":             `{"PrivateKey": "privkey:` + digits[2:] + `"}`,
		"not hex":           `{"PrivateKey": "privkey:` + digits[2:] + `zz"}`,
		"zero":              `{"PrivateKey": "privkey:` + strings.Repeat("0", hexLen) + `"}`,
		"cut off":           `{"PrivateKey": "privkey:` + digits,
		"something after":   `{"PrivateKey": "privkey:` + digits + `"} privkey:`,
		"white space in it": `{"PrivateKey": "privkey: ` + digits + `"}`,
	} {
		path := writeFile(t, content)
		k, err := LoadFile(path)
		if err == nil || !k.IsZero() {
			t.Errorf("%s: accepted", name)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, path) || strings.Contains(text, "\n") || strings.Contains(strings.ToLower(text), "5e5e") {
			t.Errorf("%s: want one line with the path and without the content, got: %s", name, text)
		}
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a broken file counts as none, so a new key would replace it", name)
		}
		if _, created, err := LoadOrCreateFile(path); err == nil || created {
			t.Errorf("%s: LoadOrCreateFile replaced or accepted a broken file", name)
		}
	}
}

func writeFile(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "relay.key")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadFileIgnoresOtherMembers(t *testing.T) {
	want := NewPrivate()
	path := writeFile(t, `{"Comment": "ours", "PrivateKey": "`+want.Text()+`"}`+"\n")
	if got, err := LoadFile(path); err != nil || !got.Equal(want) {
		t.Errorf("right key: %v, error: %v", got.Equal(want), err)
	}
}

func TestLoadFileMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.key")
	_, err := LoadFile(path)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want fs.ErrNotExist with the path", err)
	}
}

func TestCreateFileKeepsWhatIsThere(t *testing.T) {
	path := writeFile(t, "precious")
	if err := CreateFile(path, NewPrivate()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Errorf("the file now holds %q", data)
	}
	checkOnlyFile(t, path)
}

func TestCreateFileRefusesNoKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.key")
	if err := CreateFile(path, Private{}); err == nil {
		t.Error("wrote a file for no key")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("left a file behind")
	}
}

func TestCreateFileWhereItCannot(t *testing.T) {
	file := writeFile(t, "")
	path := filepath.Join(file, "below", "relay.key") // a file stands where a directory is needed
	if err := CreateFile(path, NewPrivate()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names the place", err)
	}
}

func TestLoadOrCreateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "relay.key")
	first, created, err := LoadOrCreateFile(path)
	if err != nil || !created || first.IsZero() {
		t.Fatalf("first: created %v, error %v", created, err)
	}
	checkMode(t, path, "0600")
	checkOnlyFile(t, path)
	second, created, err := LoadOrCreateFile(path)
	if err != nil || created || !second.Equal(first) {
		t.Errorf("second: created %v, same key %v, error %v", created, second.Equal(first), err)
	}
}

// Relays that start together on one file must agree on the key.
func TestLoadOrCreateFileRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.key")
	keys, news := make([]Private, 8), make([]bool, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], news[i], err = LoadOrCreateFile(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	made := 0
	for i := range keys {
		if !keys[i].Equal(keys[0]) {
			t.Error("two starters have different keys")
		}
		if news[i] {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d starters say they made the file, want 1", made)
	}
	checkOnlyFile(t, path)
}

// checkOnlyFile fails if a temporary file was left behind.
func checkOnlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v (%v), want the key file alone", entries, err)
	}
}
