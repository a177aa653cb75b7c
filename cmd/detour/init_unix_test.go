//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/dist"
	"github.com/detour-relay/detour/internal/acme/acmetest"
)

// From nothing but the program to a private relay: init writes its settings, what the
// unit starts runs with them, an authority issues its certificate, and check finds
// nothing wrong with it. All by the program itself, as a person would.
func TestInitToCheck(t *testing.T) {
	ports := freePorts(t, 3)
	port, stun, web := ports[0], ports[1], ports[2]
	authority := acmetest.Start(t, acmetest.Options{TLSPort: port, HTTPPort: web})
	dir := t.TempDir()
	program := func(args ...string) *exec.Cmd {
		cmd := exec.Command("detour", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME=", "STATE_DIRECTORY="+filepath.Join(dir, "state"))
		cmd.Stderr = os.Stderr
		return cmd
	}
	listen := "127.0.0.1:" + strconv.Itoa(port)
	out, err := program("init", "--yes", "--json", "-o", "relay.yaml", "https://Relay.Test/", "--public-ip", "127.0.0.1", "--listen", listen, "--stun", "127.0.0.1:"+strconv.Itoa(stun),
		"--tls", "acme", "--acme-directory", authority.Directory, "--acme-ca", authority.CA, "--access-managed").Output()
	var done struct {
		OK       bool
		Map      json.RawMessage
		Findings []struct{ Level, Setting, Text string }
	}
	if err != nil || json.Unmarshal(out, &done) != nil || !done.OK {
		t.Fatalf("%v: %s", err, out)
	}
	for _, f := range done.Findings {
		if f.Level == "error" {
			t.Errorf("%+v", f)
		}
	}

	start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/detour (.*)$`).FindStringSubmatch(dist.Unit)
	if start == nil {
		t.Fatal("the unit starts something else")
	}
	relay := program(strings.Fields(strings.ReplaceAll(start[1], "/etc/detour/relay.yaml", "relay.yaml"))...)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	relay.Stderr = log
	banner, err := relay.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := relay.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(timeout, func() { relay.Process.Kill() })
	defer func() {
		relay.Process.Signal(syscall.SIGTERM)
		err := relay.Wait()
		stuck.Stop()
		if text, _ := os.ReadFile(log.Name()); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}()
	if text, url := readBanner(bufio.NewScanner(banner)); url != "https://relay.test:"+strconv.Itoa(port)+"/derp" {
		t.Fatalf("%s: %s", url, text)
	}

	mapFile, roots := filepath.Join(dir, "derp.json"), filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(mapFile, done.Map, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(50 * time.Millisecond) { // until the certificate is there
		check := program("check", "--local", "--ca", roots, "--mesh-psk-file", "state/mesh.key", mapFile)
		check.Stderr = nil
		out, err := check.CombinedOutput()
		if err == nil {
			warnings := regexp.MustCompile(`(?m)^  warn  (\w+)`).FindAllStringSubmatch(string(out), -1)
			if !regexp.MustCompile(`\n\d+ ok, \d+ warnings?, 0 failed, `).Match(out) || len(warnings) > 1 || len(warnings) == 1 && warnings[0][1] != "dns" { // which no test has
				t.Errorf("%s", out)
			}
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("%v\n%s\n%s", err, out, text)
		}
	}
}
