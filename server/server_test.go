package server

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout bounds every wait for something that must happen.
const timeout = 2 * time.Minute

func TestServerAdmitsWhomItIsTold(t *testing.T) {
	welcome := key.NewPrivate()
	s, err := Open(Config{
		Listen: "127.0.0.1:0", STUN: "off", Hostname: "127.0.0.1", StateDir: t.TempDir(), Drain: -1,
		Admit: func(_ context.Context, a relay.Applicant) (relay.Admission, error) {
			if a.Peer != welcome.Public() {
				return relay.Admission{}, errors.New("not you")
			}
			return relay.Admission{}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()
	for secret, admitted := range map[key.Private]bool{welcome: true, key.NewPrivate(): false} {
		conn, _, err := client.Login(ctx, client.Config{URL: s.URL(), Key: secret, CertName: s.Pin()})
		if (err == nil) != admitted {
			t.Errorf("welcome: %v, yet %v", admitted, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

func TestOpenNamesTheField(t *testing.T) {
	dir := t.TempDir()
	for want, c := range map[string]Config{
		"server: Config.StateDir is missing":                         {},
		"server: TLS self needs Config.Hostname":                     {StateDir: dir},
		`server: Config.Listen "8443": want host:port`:               {StateDir: dir, Hostname: "a.example", Listen: "8443"},
		"server: TLS files needs both Config.CertFile and":           {StateDir: dir, CertFile: "c"},
		"give it to every relay with Config.MeshKeyFile":             {StateDir: dir, Plain: true, MeshWith: []string{"b"}, Admit: Everyone},
		"server: Config.Hostname: ":                                  {StateDir: dir, Hostname: "https://a.example"},
		"server: Config.CertFile and Config.KeyFile mean TLS files,": {StateDir: dir, Plain: true, CertFile: "c"},

		// Who may come in has to be said where others come.
		"server: Config.Admit is missing, and others can reach :443: give a function that": {StateDir: dir, Plain: true},
		"server: Config.Admit is missing, and others can reach 0.0.0.0:0: give a function": {StateDir: dir, Plain: true, Listen: "0.0.0.0:0"},

		// Passwords are not repeated.
		`server: Config.Listen "http://u:***@h`:         {StateDir: dir, Plain: true, Listen: "http://u:hunter2@h"},
		`server: Config.Listen "u:***@h:1x": want`:      {StateDir: dir, Plain: true, Listen: "u:hunter2@h:1x"},
		`server: Config.STUN`:                           {StateDir: dir, Plain: true, STUN: "http://u:hunter2@h"},
		`server: Config.Hostname: host "https://u:***@`: {StateDir: dir, Hostname: "https://u:hunter2@a.example"},
		`server: Config.MeshWith`:                       {StateDir: dir, Plain: true, MeshKeyFile: "k", MeshWith: []string{"b", "http://u:hunter%zz2@h"}},
	} {
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// What can change does while a peer is connected, what is wrong changes nothing, and
// what needs another Server is named by its field.
func TestReload(t *testing.T) {
	c := Config{Listen: "127.0.0.1:0", STUN: "off", StateDir: t.TempDir(), Plain: true}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	secret := key.NewPrivate()
	login := func(k key.Private) *client.Conn {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		conn, _, err := client.Login(ctx, client.Config{URL: s.URL(), CertName: s.Pin(), Key: k})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	before := login(secret)
	defer before.Close()

	next := c
	next.Plain, next.Hostname, next.Drain = false, "127.0.0.1", -1
	bad := next
	bad.MeshKeyFile = filepath.Join(c.StateDir, "nowhere")
	if err := s.Reload(bad); err == nil || s.Pin() != "" {
		t.Errorf("%v, and the pin is %q", err, s.Pin())
	}
	if err := s.Reload(next); err != nil || s.Pin() == "" {
		t.Errorf("%v, and the pin is %q", err, s.Pin())
	}
	after := login(key.NewPrivate())
	defer after.Close()
	if err := after.Send(secret.Public(), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 64<<10); ; {
		m, err := before.Recv(buf)
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == client.MessagePacket {
			break
		}
	}
	next.Listen, next.STUN = "127.0.0.1:1", "127.0.0.1:1"
	if err := s.Reload(next); err == nil || !strings.Contains(err.Error(), "restart needed for Config.Listen, Config.STUN: ") {
		t.Errorf("%v", err)
	}
}

var embedded = regexp.MustCompile("(?s)```go\n(package main\n.*?)```")

// The program in docs/embed.md is a module of its own, and does what the page says.
func TestPageProgram(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "embed.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := embedded.FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/embed.md has no program")
	}
	if n := strings.Count(string(block[1]), "\n"); n > 30 {
		t.Errorf("the program has %d lines", n)
	}
	program := strings.NewReplacer("127.0.0.1:8443", "127.0.0.1:0", "127.0.0.1:3478", "127.0.0.1:0").Replace(string(block[1]))
	dir := outsideModule(t, program)
	build := exec.Command("go", "build", "-o", "embed"+exe(), ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	line := start(t, dir)
	found := regexp.MustCompile(`^detour ping --cert-name (sha256-raw:[0-9a-f]{64}) (https://127\.0\.0\.1:\d+/derp)$`).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("it printed %q", line)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	conn, _, err := client.Login(ctx, client.Config{URL: found[2], Key: key.NewPrivate(), CertName: found[1]})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// outsideModule makes a module that can import only what others can. It takes the
// versions of this one.
func outsideModule(t *testing.T, program string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	own := regexp.MustCompile(`(?m)^module .*$`).ReplaceAllString(string(mod), "module example.com/embed")
	own = regexp.MustCompile(`(?ms)^(tool \(.*?^\)|tool [^(\n]*)$`).ReplaceAllString(own, "")
	own += "\nrequire github.com/detour-relay/detour v0.0.0\n\nreplace github.com/detour-relay/detour => " + filepath.ToSlash(root) + "\n"
	for name, text := range map[string]string{"go.mod": own, "go.sum": string(sum), "main.go": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

// start runs the program until the test ends, and returns its first line.
func start(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(dir, "embed"+exe()))
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		if runtime.GOOS == "windows" { // which has no such signal to send
			cmd.Process.Kill()
		}
		if err := cmd.Wait(); err != nil && runtime.GOOS != "windows" {
			t.Errorf("it ended with %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	lines.Scan()
	return lines.Text()
}
