package certs

import (
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pairText makes a pair for host as the texts of a certificate and a key file.
func pairText(t *testing.T, host string, now time.Time) (cert, key []byte) {
	t.Helper()
	text, err := makeSelf(host, now)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	return pem.EncodeToMemory(block), rest
}

// putPair writes a fresh pair for host into dir as c.pem and k.pem.
func putPair(t *testing.T, dir, host string, now time.Time) {
	t.Helper()
	cert, key := pairText(t, host, now)
	put(t, filepath.Join(dir, "c.pem"), cert)
	put(t, filepath.Join(dir, "k.pem"), key)
}

func filesIn(dir string, log *logbook) FilesConfig {
	return FilesConfig{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem"), Host: "relay.example", Logger: log.logger()}
}

func TestOpenFilesRefusesBrokenPairs(t *testing.T) {
	cert, key := pairText(t, "relay.example", time.Now())
	otherCert, _ := pairText(t, "relay.example", time.Now())
	wrongName, wrongKey := pairText(t, "other.example", time.Now())
	cut := []byte(strings.Replace(string(cert), "MII", "AII", 1))
	for name, c := range map[string]struct {
		cert, key []byte
		want      []string // words of the one-line error
	}{
		"no certificate file": {nil, key, []string{"c.pem", "no such file"}},
		"no key file":         {cert, nil, []string{"k.pem", "no such file"}},
		"empty certificate":   {[]byte{}, key, []string{"c.pem", "it is empty"}},
		"garbage certificate": {[]byte("hello"), key, []string{"c.pem", "no -----BEGIN stands in it"}},
		"key as certificate":  {key, key, []string{"c.pem", "it is a private key"}},
		"broken certificate":  {cut, key, []string{"c.pem", "certificate 1"}},
		"broken intermediate": {append(append([]byte{}, cert...), cut...), key, []string{"c.pem", "certificate 2"}},
		"certificate as key":  {cert, cert, []string{"k.pem", "it is a certificate"}},
		"garbage key":         {cert, []byte("hello"), []string{"k.pem", "no -----BEGIN stands in it"}},
		"key of another":      {otherCert, key, []string{"k.pem", "c.pem", "do not belong together"}},
		"wrong name":          {wrongName, wrongKey, []string{"c.pem", "other.example", "not for relay.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.cert != nil {
				put(t, filepath.Join(dir, "c.pem"), c.cert)
			}
			if c.key != nil {
				put(t, filepath.Join(dir, "k.pem"), c.key)
			}
			_, err := OpenFiles(filesIn(dir, new(logbook)))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, word := range c.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %q", err, word)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of more than one line: %q", err)
			}
		})
	}
}

func TestOpenFilesWarnsAboutDates(t *testing.T) {
	dir, log := t.TempDir(), new(logbook)
	putPair(t, dir, "relay.example", time.Now().Add(-2*selfLife))
	if _, err := OpenFiles(filesIn(dir, log)); err != nil {
		t.Fatal(err)
	}
	if log.Lines("ERROR", "expired", "c.pem") != 1 {
		t.Errorf("no warning about an expired certificate: %s", log)
	}
}

// watched runs Watch of the pair in dir until the test ends, under the clock of
// synctest.
func watched(t *testing.T, dir string, log *logbook) *Files {
	t.Helper()
	files, err := OpenFiles(filesIn(dir, log))
	if err != nil {
		t.Fatal(err)
	}
	go files.Run(t.Context())
	return files
}

func looks(n int) {
	time.Sleep(time.Duration(n) * pollEvery)
	synctest.Wait()
}

func TestWatchTakesNewPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), new(logbook)
		putPair(t, dir, "relay.example", time.Now())
		files := watched(t, dir, log)
		first := pairOf(files)
		looks(3)
		if pairOf(files) != first {
			t.Error("replaced without a change")
		}
		putPair(t, dir, "relay.example", time.Now())
		looks(1)
		if pairOf(files) == first {
			t.Error("the new pair is not in use")
		}
		if n := log.Lines("certificate reloaded"); n != 1 {
			t.Errorf("%d log lines about the reload, want 1: %s", n, log)
		}
	})
}

// Secrets mounted by Kubernetes change by one rename of a symbolic link to a
// directory; the paths of the files themselves never change.
func TestWatchFollowsSwappedLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), new(logbook)
		putPair(t, filepath.Join(dir, "v1"), "relay.example", time.Now())
		putPair(t, filepath.Join(dir, "v2"), "relay.example", time.Now())
		link := func(version, name string) {
			if err := os.Symlink(version, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		link("v1", "data")
		link("data/c.pem", "c.pem")
		link("data/k.pem", "k.pem")
		files := watched(t, dir, log)
		first := pairOf(files)

		link("v2", "new")
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
		looks(1)
		if pairOf(files) == first {
			t.Errorf("the pair behind the new link is not in use: %s", log)
		}
	})
}

func TestWatchKeepsOldPairOverBrokenOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), new(logbook)
		putPair(t, dir, "relay.example", time.Now())
		files := watched(t, dir, log)
		first := pairOf(files)

		otherCert, otherKey := pairText(t, "relay.example", time.Now())
		put(t, filepath.Join(dir, "c.pem"), otherCert) // halfway through a replacement
		looks(1)
		if n := log.Lines("ERROR"); n != 0 {
			t.Errorf("a replacement under way was reported: %s", log)
		}
		looks(20)
		if pairOf(files) != first {
			t.Error("a broken pair is in use")
		}
		if n := log.Lines("ERROR", "k.pem", "do not belong together"); n != 1 {
			t.Errorf("%d reports of one broken pair, want 1: %s", n, log)
		}

		put(t, filepath.Join(dir, "k.pem"), otherKey) // the other half
		looks(1)
		if pairOf(files) == first {
			t.Error("the completed pair is not in use")
		}

		if err := os.Remove(filepath.Join(dir, "c.pem")); err != nil {
			t.Fatal(err)
		}
		looks(20)
		if n := log.Lines("ERROR", "c.pem", "no such file"); n != 1 {
			t.Errorf("%d reports of one missing file, want 1: %s", n, log)
		}
	})
}

func TestReloadSaysWhyNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), new(logbook)
		putPair(t, dir, "relay.example", time.Now())
		files := watched(t, dir, log)
		first := pairOf(files)

		putPair(t, dir, "relay.example", time.Now().Add(-2*selfLife))
		if err := reload(t, files); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("reload of an expired pair: %v", err)
		}
		putPair(t, dir, "other.example", time.Now())
		if err := reload(t, files); err == nil || !strings.Contains(err.Error(), "not for relay.example") {
			t.Errorf("reload of a pair for another name: %v", err)
		}
		looks(20)
		if n := log.Lines("ERROR"); n != 0 {
			t.Errorf("what Prepare had returned was logged as well: %s", log)
		}
		if pairOf(files) != first {
			t.Error("an unusable pair is in use")
		}
		putPair(t, dir, "relay.example", time.Now())
		if err := reload(t, files); err != nil || pairOf(files) == first {
			t.Errorf("reload of a good pair: %v", err)
		}
	})
}

func TestReloadMissingFile(t *testing.T) {
	dir := t.TempDir()
	putPair(t, dir, "relay.example", time.Now())
	files, err := OpenFiles(filesIn(dir, new(logbook)))
	if err != nil {
		t.Fatal(err)
	}
	first := pairOf(files)
	if err := os.Remove(filepath.Join(dir, "k.pem")); err != nil {
		t.Fatal(err)
	}
	if err := reload(t, files); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reload without a key file: %v", err)
	}
	if pairOf(files) != first {
		t.Error("the pair in use changed")
	}
}

// reload takes over what Prepare finds.
func reload(t *testing.T, files *Files) error {
	use, err := files.Prepare(t.Context())
	if err == nil {
		use()
	}
	return err
}

// What was looked at waits until somebody wants it.
func TestPreparingChangesNothing(t *testing.T) {
	dir := t.TempDir()
	putPair(t, dir, "relay.example", time.Now())
	files, err := OpenFiles(filesIn(dir, new(logbook)))
	if err != nil {
		t.Fatal(err)
	}
	first := pairOf(files)
	putPair(t, dir, "relay.example", time.Now())
	use, err := files.Prepare(t.Context())
	if err != nil || pairOf(files) != first {
		t.Fatalf("it is in use already, or cannot be: %v", err)
	}
	if use(); pairOf(files) == first {
		t.Error("it is not in use")
	}
}
