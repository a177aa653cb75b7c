package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func openSelf(t *testing.T, dir, host string, log *logbook) *Self {
	t.Helper()
	s, err := OpenSelf(SelfConfig{Host: host, StateDir: dir, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSelfLeaf(t *testing.T) {
	for _, host := range []string{"relay.example", "192.0.2.7", "2001:db8::7", "localhost", strings.Repeat("long.", 20) + "example"} {
		t.Run(host, func(t *testing.T) {
			s := openSelf(t, t.TempDir(), host, new(logbook))
			pair := pairOf(s)
			if len(pair.Certificate) != 1 {
				t.Fatalf("%d certificates, want the leaf alone", len(pair.Certificate))
			}
			leaf, err := x509.ParseCertificate(pair.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := leaf.VerifyHostname(host); err != nil {
				t.Error(err)
			}
			if err := leaf.VerifyHostname("other.example"); err == nil {
				t.Error("valid for other.example too")
			}
			if leaf.IsCA || len(leaf.SubjectKeyId) != 0 || leaf.SerialNumber.BitLen() < 64 {
				t.Errorf("CA %v, key id %x, serial %v", leaf.IsCA, leaf.SubjectKeyId, leaf.SerialNumber)
			}
			roots := x509.NewCertPool()
			roots.AddCert(leaf)
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
				t.Errorf("a peer that trusts it refuses it: %v", err)
			}
			sum := sha256.Sum256(leaf.Raw)
			if pin, expires := pinUntil(s); pin != "sha256-raw:"+hex.EncodeToString(sum[:]) || !expires.Equal(leaf.NotAfter) {
				t.Errorf("pin %s until %v", pin, expires)
			}
		})
	}
}

func TestSelfOutlivesProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on demand")
	first, _ := pinUntil(openSelf(t, dir, "relay.example", new(logbook)))
	if again, _ := pinUntil(openSelf(t, dir, "RELAY.example.", new(logbook))); again != first {
		t.Errorf("pin %s after a restart, was %s", again, first)
	}
	if other, _ := pinUntil(openSelf(t, dir, "192.0.2.7", new(logbook))); other == first {
		t.Error("two hosts share a certificate")
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 {
		t.Errorf("files left in the state directory: %v", files)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
}

func TestOpenSelfRefuses(t *testing.T) {
	good, err := makeSelf("other.example", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		host string
		file []byte
		want string
	}{
		"no host":       {host: "", want: "not a DNS name"},
		"URL":           {host: "https://relay.example", want: "without scheme"},
		"port":          {host: "relay.example:443", want: "without scheme"},
		"underscore":    {host: "a_b.example", want: "underscore"},
		"not ASCII":     {host: "b\u00fccher.example", want: "write xn--bcher-kva.example"},
		"brackets":      {host: "[::1]", want: "write ::1"},
		"list":          {host: "a.example,b.example", want: "more than one name"},
		"white space":   {host: "a.example ", want: "write a.example"},
		"short address": {host: "10.1.1", want: "no IPv4 address"},
		"wildcard":      {host: "*.example", want: "not a DNS name"},
		"hyphen":        {host: "-a.example", want: "not a DNS name"},
		"empty label":   {host: "a..example", want: "not a DNS name"},
		"long label":    {host: strings.Repeat("a", 64) + ".example", want: "not a DNS name"},
		"unspecified":   {host: "0.0.0.0", want: "no peer can use"},
		"zone":          {host: "fe80::1%eth0", want: "no peer can use"},
		"empty file":    {host: "relay.example", file: []byte{}, want: "remove it to get a new certificate"},
		"garbage":       {host: "relay.example", file: []byte("x"), want: "remove it to get a new certificate"},
		"of other host": {host: "relay.example", file: good, want: "other.example and not for relay.example"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.file != nil {
				put(t, filepath.Join(dir, "self-relay.example.pem"), c.file)
			}
			_, err := OpenSelf(SelfConfig{Host: c.host, StateDir: dir, Logger: new(logbook).logger()})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, c.want)
			}
		})
	}
}

func TestOpenSelfWithoutDirectory(t *testing.T) {
	file := put(t, filepath.Join(t.TempDir(), "file"), nil)
	_, err := OpenSelf(SelfConfig{Host: "relay.example", StateDir: filepath.Join(file, "x"), Logger: new(logbook).logger()})
	if err == nil || !strings.Contains(err.Error(), "state directory") {
		t.Errorf("error %v", err)
	}
}

// The life of a pin: made alone, its successor shown ahead, then replaced, with
// the successor surviving restarts in between.
func TestSelfRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), new(logbook)
		s := openSelf(t, dir, "relay.example", log)
		go s.Run(t.Context())
		first, expires := pinUntil(s)
		if _, _, ok := nextPin(s); ok {
			t.Error("a next pin from the first day")
		}

		time.Sleep(time.Until(expires.Add(-selfAhead)) + selfLook)
		synctest.Wait()
		next, from, ok := nextPin(s)
		if !ok || next == first || !from.Equal(expires.Add(-selfSwitch)) {
			t.Fatalf("next pin %q from %v, %v", next, from, ok)
		}
		if log.Lines("WARN", next) != 1 {
			t.Errorf("the next pin was not announced once: %s", log)
		}
		if pin, _ := pinUntil(s); pin != first {
			t.Error("the pin changed when the next one was made")
		}
		if again, _, _ := nextPin(openSelf(t, dir, "relay.example", log)); again != next {
			t.Errorf("next pin %q after a restart, was %q", again, next)
		}

		time.Sleep(time.Until(from) + selfLook)
		synctest.Wait()
		if pin, _ := pinUntil(s); pin != next {
			t.Errorf("pin %q after the switch, want %q", pin, next)
		}
		if _, _, ok := nextPin(s); ok {
			t.Error("still a next pin after the switch")
		}
		if pin, _ := pinUntil(openSelf(t, dir, "relay.example", log)); pin != next {
			t.Errorf("pin %q after the switch and a restart, want %q", pin, next)
		}

		for range 36 { // three years on, never outside the dates
			time.Sleep(30 * 24 * time.Hour)
			synctest.Wait()
			if err := CheckLeaf(pairOf(s).Leaf, "relay.example", time.Now()); err != nil {
				t.Fatalf("at %v: %v", time.Now(), err)
			}
		}
		if n := log.Lines("ERROR"); n != 0 {
			t.Errorf("errors on the way: %s", log)
		}
	})
}

func TestSelfStartsAfterItsCertificatesExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), new(logbook)
		first, expires := pinUntil(openSelf(t, dir, "relay.example", log))
		time.Sleep(time.Until(expires.Add(-selfAhead)))
		next, _, ok := nextPin(openSelf(t, dir, "relay.example", log))
		if !ok {
			t.Fatal("no next pin")
		}

		time.Sleep(time.Until(expires) + time.Hour) // slept over the switch
		if pin, _ := pinUntil(openSelf(t, dir, "relay.example", log)); pin != next {
			t.Errorf("pin %q, want the announced %q", pin, next)
		}

		time.Sleep(5 * selfLife)
		s := openSelf(t, dir, "relay.example", log)
		if pin, _ := pinUntil(s); pin == next || pin == first {
			t.Error("an expired certificate is in use")
		}
		if err := CheckLeaf(pairOf(s).Leaf, "relay.example", time.Now()); err != nil {
			t.Error(err)
		}
		if log.Lines("ERROR", "peers need the new pin") != 1 {
			t.Errorf("the change of pin was not reported once: %s", log)
		}
	})
}

func TestSelfTwoProcessesOneDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), new(logbook)
		a, b := openSelf(t, dir, "relay.example", log), openSelf(t, dir, "relay.example", log)
		go a.Run(t.Context())
		go b.Run(t.Context())
		for range 40 {
			time.Sleep(10 * 24 * time.Hour)
			synctest.Wait()
			if !bytes.Equal(pairOf(a).Certificate[0], pairOf(b).Certificate[0]) {
				t.Fatalf("at %v the two show different certificates", time.Now())
			}
		}
		if n := log.Lines("ERROR"); n != 0 {
			t.Errorf("errors on the way: %s", log)
		}
	})
}

func TestSelfReportsStateItCannotWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := filepath.Join(t.TempDir(), "state"), new(logbook)
		s := openSelf(t, dir, "relay.example", log)
		go s.Run(t.Context())
		_, expires := pinUntil(s)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(expires.Add(-selfAhead)) + selfLook)
		synctest.Wait()
		if log.Lines("ERROR", "cannot renew", "no such file") == 0 {
			t.Errorf("not reported: %s", log)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(selfLook)
		synctest.Wait()
		if _, _, ok := nextPin(s); !ok {
			t.Error("not made once the directory was back")
		}
	})
}
