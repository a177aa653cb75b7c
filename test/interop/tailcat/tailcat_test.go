package tailcat

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/test/interop/programs"
)

const (
	patience  = 2 * time.Minute
	fileBytes = 20_000_000
)

// TestFile carries a file, once with no other way than the relay, and once where the nodes may find a direct path, for which they
// have our STUN and their messages to each other through the relay.
func TestFile(t *testing.T) {
	content := make([]byte, fileBytes)
	rand.NewChaCha8([32]byte{1}).Read(content)
	for name, env := range map[string]string{"relayed": "TS_DEBUG_ALWAYS_USE_DERP=true", "any way": "TS_DEBUG_ALWAYS_USE_DERP=false"} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			relay := programs.StartDetour(t)
			n := &nodes{ctx, programs.StartMap(t, relay.Node), env}
			before := usage(t, relay)

			address, received := n.receive(t)
			sender := n.tailcat(t, address)
			sender.Stdin = bytes.NewReader(content)
			if said, err := sender.CombinedOutput(); err != nil {
				t.Fatalf("the sender: %v\n%s", err, said)
			}
			if got := received(); !bytes.Equal(got, content) {
				t.Errorf("%d bytes have come, of %d, or others", len(got), len(content))
			}
			if after := usage(t, relay); name == "relayed" && (after.Read-before.Read < fileBytes || after.Written-before.Written < fileBytes) {
				t.Errorf("the relay has read %d bytes and written %d: the rest took another way", after.Read-before.Read, after.Written-before.Written)
			}
		})
	}
}

// TestDirect has two nodes find a direct path: what they tell each other through the relay reaches them.
func TestDirect(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	relay := programs.StartDetour(t)
	n := &nodes{ctx, programs.StartMap(t, relay.Node), "TS_DEBUG_ALWAYS_USE_DERP=false"}
	address, _ := n.receive(t)
	said, err := n.tailcat(t, "ping", "--until-direct", "--timeout=1m", address).CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?m)^pong in \S+ via \d+\.\d+\.\d+\.\d+:\d+$`).Match(said) {
		t.Errorf("%v\n%s", err, said)
	}
}

// nodes are two that are told of the relay by a map.
type nodes struct {
	ctx context.Context
	url string // of the map
	env string
}

// tailcat is the program with a home of its own.
func (n *nodes) tailcat(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	home := t.TempDir()
	cmd := exec.CommandContext(n.ctx, os.Getenv(programEnv), append([]string{"--derpmap-url=" + n.url, "--key=new"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "XDG_CONFIG_HOME="+home, "TS_NO_LOGS_NO_SUPPORT=true", n.env)
	return cmd
}

// receive starts a node that takes one file. It has the address for the other node; received waits for the end.
func (n *nodes) receive(t *testing.T) (address string, received func() []byte) {
	t.Helper()
	dir := t.TempDir()
	addressFile, contentFile := filepath.Join(dir, "address"), filepath.Join(dir, "content")
	cmd := n.tailcat(t)
	cmd.Env = append(cmd.Env, "TAILCAT_ADDR_FILE="+addressFile)
	out, err := os.Create(contentFile)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the receiver said:\n%s", said.String())
		}
	})
	received = func() []byte {
		<-ended
		if !cmd.ProcessState.Success() {
			t.Errorf("the receiver: %v", cmd.ProcessState)
		}
		content, err := os.ReadFile(contentFile)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	return awaitFile(t, addressFile, ended), received
}

// awaitFile waits until a file has something in it.
func awaitFile(t *testing.T, path string, ended <-chan struct{}) string {
	t.Helper()
	late, look := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer look.Stop()
	for {
		if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
			return strings.TrimSpace(string(text))
		}
		select {
		case <-look.C:
		case <-ended:
			t.Fatal("the receiver has ended before it said its address")
		case <-late:
			t.Fatal("the receiver does not say its address")
		}
	}
}

func usage(t *testing.T, relay *programs.Relay) programs.Usage {
	t.Helper()
	u, err := relay.Usage()
	if err != nil {
		t.Fatal(err)
	}
	return u
}
