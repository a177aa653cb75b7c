package coordload

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
)

// coordinator runs one, and returns its address.
func coordinator(t *testing.T, store coordstore.Store) (c *coord.Service, addr string) {
	t.Helper()
	c, err := coord.New(coord.Config{Store: store, Contacts: func() []coordapi.Contact { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: c.Handler()}}
	server.Start()
	t.Cleanup(func() { cancel(); running.Wait(); server.Close() })
	return c, listener.Addr().String()
}

func TestACrowdIsToldOfEachOther(t *testing.T) {
	const nets, perNet = 1, 30
	c, addr := coordinator(t, coordstore.NewMemory())
	var export bytes.Buffer
	members, err := WriteExport(&export, nets, perNet)
	if err != nil {
		t.Fatal(err)
	}
	for c.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	imported := httptest.NewRecorder()
	c.AdminHandler().ServeHTTP(imported, httptest.NewRequest(http.MethodPost, coordapi.PathAdmin+"import", &export))
	if imported.Code != http.StatusOK {
		t.Fatal(imported.Body)
	}
	crowd, err := New(Config{Addrs: []string{addr}, Boot: 1}, members)
	if err != nil {
		t.Fatal(err)
	}
	defer crowd.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := crowd.Each(ctx, 8, crowd.LogIn); err != nil {
		t.Fatal(err)
	}
	streams := crowd.Open(perNet)
	if err := streams.AwaitOpen(ctx, perNet); err != nil {
		t.Fatal(err, streams.Last())
	}
	if took, err := crowd.FanOut(ctx, streams, 5); err != nil || len(took) != 5 {
		t.Fatal(took, err)
	}
	streams.Close()
	again := crowd.Open(perNet)
	defer again.Close()
	if err := again.AwaitOpen(ctx, perNet); err != nil {
		t.Fatal(err, again.Last())
	}
	if again.Snapshots.Load() != 0 || again.Resumes.Load() != perNet {
		t.Errorf("%d snapshots and %d resumes of %d streams that had been there", again.Snapshots.Load(), again.Resumes.Load(), perNet)
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, addr := range []string{"", "192.0.2.1:443", "coord.example.com:443", "127.0.0.1"} {
		if _, err := New(Config{Addrs: []string{addr}}, []*Member{{}}); err == nil {
			t.Errorf("%q is taken", addr)
		}
	}
}
