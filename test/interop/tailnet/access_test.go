package tailnet

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/test/interop/programs"
)

// nodeKey is the key by which relays know a node.
func (n *node) nodeKey(t *testing.T, ctx context.Context) string {
	t.Helper()
	local, err := n.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	status, err := local.StatusWithoutPeers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return status.Self.PublicKey.String()
}

func writeList(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// has waits until so many peers are connected.
func has(t *testing.T, relay *programs.Relay, peers int) {
	t.Helper()
	relay.Await(t, func(s programs.Status) error {
		if s.Relay.Peers != peers {
			return fmt.Errorf("%d peers, want %d", s.Relay.Peers, peers)
		}
		return nil
	})
}

// Of two real nodes the list admits one; then both, which find each other; and when the list leaves one out, it is cut off.
func TestTheListAdmitsOneOfTwoNodes(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	list := filepath.Join(t.TempDir(), "keys")
	writeList(t, list, "# nobody yet\n")
	admin := programs.FreeAddr(t).String()
	relay := programs.StartDetour(t, "--access-keys", list, "--admin", admin)
	relay.Admin = "http://" + admin
	log := newNodeLog(t)
	control := startControl(derpMap(relay), log)
	server, reader := startNode(t, ctx, control, "server", log), startNode(t, ctx, control, "reader", log)
	one, other := server.nodeKey(t, ctx), reader.nodeKey(t, ctx)

	writeList(t, list, one+" label=servers\n")
	has(t, relay, 1)
	relay.AwaitLog(t, `"msg":"a peer is refused"`)
	writeList(t, list, one+" label=servers\n"+other+"\n")
	awaitPath(t, ctx, reader, server, relay.Node.RegionID)
	has(t, relay, 2)
	writeList(t, list, one+" label=servers\n")
	has(t, relay, 1)
	relay.AwaitLog(t, `"msg":"a peer is cut off"`)
}

// serveLocalAPI has a node answer at a unix socket, as the daemon does.
func (n *node) serveLocalAPI(t *testing.T) (socket string) {
	t.Helper()
	local, err := n.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
		os.RemoveAll(dir)
	})
	serving.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer in.Close()
				out, err := local.Dial(context.Background(), "tcp", "local-tailscaled.sock:80")
				if err != nil {
					return
				}
				defer out.Close()
				serving.Go(func() {
					io.Copy(out, in)
					out.Close()
				})
				io.Copy(in, out)
			})
		}
	})
	return socket
}

// A relay that asks a real node's LocalAPI admits the nodes of its tailnet, itself included, and nobody else.
func TestTheDaemonAdmitsItsTailnet(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	socket := filepath.Join(t.TempDir(), "s") // a link, for the relay is there before the node
	admin := programs.FreeAddr(t).String()
	relay := programs.StartDetour(t, "--access-tailscaled", socket, "--admin", admin)
	relay.Admin = "http://" + admin
	relay.AwaitLog(t, "there is no such socket")
	log := newNodeLog(t)
	control := startControl(derpMap(relay), log)
	server, reader := startNode(t, ctx, control, "server", log), startNode(t, ctx, control, "reader", log)
	if err := os.Symlink(server.serveLocalAPI(t), socket); err != nil {
		t.Fatal(err)
	}
	awaitPath(t, ctx, reader, server, relay.Node.RegionID)
	has(t, relay, 2)
	detour, err := programs.Detour()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(ctx, detour, "ping", "--count", "1", "--cert-name", relay.Pin, relay.URL).CombinedOutput(); err == nil {
		t.Errorf("a stranger got in: %s", out)
	}
	relay.AwaitLog(t, "says no")
}
