//go:build unix

package initcmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/unit"
)

// One command makes all of it: files that belong to the service, the unit, and that it
// runs.
func TestService(t *testing.T) {
	r := newRoom(t)
	root, bin := filepath.Join(r.dir, "root"), filepath.Join(r.dir, "bin")
	for path, text := range map[string]string{
		filepath.Join(bin, "systemctl"): "#!/bin/sh\necho \"$*\" >>" + r.dir + "/asked\ntest \"$1\" != is-active -a \"$1\" != is-enabled\n",
		filepath.Join(bin, "useradd"):   fmt.Sprintf("#!/bin/sh\necho 'detour:x:%d:%d::/:/bin/false' >>%s/etc/passwd\n", os.Getuid(), os.Getgid(), root),
		root + "/etc/passwd":            "root:x:0:0::/:/bin/sh\n",
		root + "/run/systemd/system/x":  "",
	} {
		if os.MkdirAll(filepath.Dir(path), 0o755) != nil || os.WriteFile(path, []byte(text), 0o755) != nil {
			t.Fatal("the machine cannot be made")
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	r.file = "/etc/detour/relay.yaml"
	args := append([]string{"--service", "--root", root, "--yes", "relay.example.com", "--tls", "self", "--access-managed"}, ports...)
	said, err := r.init(nil, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, path := range []string{"/etc/detour/relay.yaml", unit.FileOf(unit.Relay), unit.Program, unit.StateDir + "/mesh.key", unit.StateDir + "/self-relay.example.com.pem"} {
		if _, err := os.Stat(root + path); err != nil {
			t.Error(err)
		}
	}
	settings, err := os.ReadFile(root + "/etc/detour/relay.yaml")
	if err != nil || !strings.Contains(string(settings), "key-file: /var/lib/detour/mesh.key\n") || strings.Contains(said, "Start the relay") || !strings.Contains(said, "       sudo detour check --mesh-psk-file /var/lib/detour/mesh.key --cert-name sha256-raw:") {
		t.Errorf("%v\n%s\n%s", err, settings, said)
	}
	if asked, err := os.ReadFile(r.dir + "/asked"); err != nil || !strings.HasSuffix(string(asked), "\nstart detour\n") {
		t.Errorf("%v: %s", err, asked)
	}
	// Where the user of the service cannot read a key, it is not begun.
	const secret = "/home/me/keys"
	said, err = r.init(nil, append(args, "--access-keys", secret)...)
	if err != errWrong || !strings.Contains(strings.Join(strings.Fields(said), " "), "error access.keys: "+secret+": the unit keeps the service out of home directories and /tmp") {
		t.Errorf("%v\n%s", err, said)
	}
	said, err = r.init(nil, append(args, "--access-keys", "credential:keys")...)
	if err != errWrong || !strings.Contains(strings.Join(strings.Fields(said), " "), "error access.keys: the unit hands over no credential keys: systemctl edit detour") {
		t.Errorf("%v\n%s", err, said)
	}
	os.RemoveAll(root + "/run")
	if _, err := r.init(nil, args...); err == nil || !strings.Contains(err.Error(), `--service: systemd does not run here`) || !strings.Contains(err.Error(), `run "detour relay"`) {
		t.Error(err)
	}
}

// Whoever has the service started is told what has become of its certificate.
func TestAwait(t *testing.T) {
	dir, err := os.MkdirTemp("", "i") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	var answer atomic.Pointer[string]
	asked := make(chan struct{}, 1000)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, *answer.Load())
		asked <- struct{}{}
	}), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-ended })
	say := func(text string) { answer.Store(&text) }
	await := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var out bytes.Buffer
		s := &session{options: new(options), ctx: ctx, out: &out, page: cli.Page{Width: 200}}
		s.now = config.Config{StateDir: dir, TLS: config.TLS{Mode: config.TLSACME}}
		s.installer = new(unit.Installer)
		if err := s.await(); err != nil {
			t.Error(err)
		}
		return out.String()
	}
	const waiting = `{"certificate": {"missing": "none for a.example yet", "issuance": {"failed": 0}}}`
	say(waiting)
	go func() { // once it has been asked, there is one
		<-asked
		say(`{"certificate": {"issuance": {"failed": 0}}}`)
	}()
	if said := await(); said != "wait   for its certificate\ndone   it has a certificate\n" {
		t.Error(said)
	}
	say(`{"certificate": {"missing": "none for a.example yet: ca.example refuses: because", "issuance": {"failed": 1}}}`)
	if said := await(); !strings.HasSuffix(said, "note   it has no certificate yet, and tries again by itself: none for a.example yet: ca.example refuses: because\n") {
		t.Error(said)
	}
}
