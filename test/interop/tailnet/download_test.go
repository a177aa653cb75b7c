package tailnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/test/interop/programs"
)

const (
	downloadBytes = 100_000_000
	rounds        = 5
)

// TestDownload lets one node download from the other, through our relay and through derper in turn. Each download must arrive
// whole, over the relay and nothing else. How long it took is reported, never judged: time belongs to the machine.
func TestDownload(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	content := make([]byte, downloadBytes)
	rand.NewChaCha8([32]byte{1}).Read(content)

	tailnets := []*tailnet{
		newTailnet(t, ctx, programs.StartDetour(t)),
		newTailnet(t, ctx, programs.StartDerper(t)),
	}
	for _, n := range tailnets {
		serve(t, n.server, content)
		n.download(t, ctx, content[:downloadBytes/10]) // warms TCP windows and caches; not reported
	}
	var report report
	for range rounds {
		for _, n := range tailnets {
			report.add(n.download(t, ctx, content))
		}
		slices.Reverse(tailnets) // neither is always the first
	}
	report.finish(t)
}

// serve answers HTTP requests on port 80 of the node with content, whole or the range that is asked for.
func serve(t *testing.T, n *node, content []byte) {
	t.Helper()
	listener, err := n.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "content.bin", time.Time{}, bytes.NewReader(content))
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("HTTP server of node %s: %v", n.Hostname, err)
		}
	})
}

// download fetches the first len(want) bytes, compares each with want, and proves that they came through the relay.
func (n *tailnet) download(t *testing.T, ctx context.Context, want []byte) download {
	t.Helper()
	before, err := n.relay.Usage()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := fetch(ctx, n.reader.HTTPClient(), n.server.ip.String(), want); err != nil {
		t.Fatalf("download through %s: %v", n.relay.Name, err)
	}
	took := time.Since(start)
	after, err := n.relay.Usage()
	if err != nil {
		t.Fatal(err)
	}
	n.checkPath(t, ctx)
	for way, moved := range map[string]int64{"read": after.Read - before.Read, "wrote": after.Written - before.Written} {
		if moved < int64(len(want)) {
			t.Errorf("%s %s %d bytes during a download of %d: the rest took another way", n.relay.Name, way, moved, len(want))
		}
	}
	return download{Relay: n.relay.Name, Seconds: took.Seconds(), RelayCPUSeconds: (after.CPU - before.CPU).Seconds()}
}

// checkPath fails the test unless both nodes say that they reach each other through the relay only.
func (n *tailnet) checkPath(t *testing.T, ctx context.Context) {
	t.Helper()
	for _, pair := range [][2]*node{{n.reader, n.server}, {n.server, n.reader}} {
		self, peer := pair[0].pathTo(t, ctx, pair[1])
		if self.Relay != n.relay.Name {
			t.Errorf("home of node %s is region %q, want %q", pair[0].Hostname, self.Relay, n.relay.Name)
		}
		if peer.Relay != n.relay.Name || peer.CurAddr != "" || peer.PeerRelay != "" || !peer.Active {
			t.Errorf("node %s reaches %s by region %q, address %q, peer relay %q, active %v; want region %q only",
				pair[0].Hostname, pair[1].Hostname, peer.Relay, peer.CurAddr, peer.PeerRelay, peer.Active, n.relay.Name)
		}
	}
}

// fetch downloads the first len(want) bytes from host and compares them as they come.
func fetch(ctx context.Context, client *http.Client, host string, want []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=0-%d", len(want)-1))
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("status %s", response.Status)
	}
	chunk := make([]byte, 256<<10)
	for at := 0; ; {
		got, err := response.Body.Read(chunk)
		if at+got > len(want) || !bytes.Equal(chunk[:got], want[at:at+got]) {
			return fmt.Errorf("other content than was served, within the %d bytes after byte %d", got, at)
		}
		at += got
		switch {
		case err == io.EOF && at == len(want):
			return nil
		case err == io.EOF:
			return fmt.Errorf("ended after %d bytes of %d", at, len(want))
		case err != nil:
			return fmt.Errorf("after %d bytes of %d: %w", at, len(want), err)
		}
	}
}
