package coordload

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// coordinator runs one, and returns its address.
func coordinator(t *testing.T, store coordstore.Store) (c *coord.Service, addr string) {
	t.Helper()
	c, err := coord.New(coord.Config{Store: store, Contacts: func() []coordapi.Contact {
		return []coordapi.Contact{{URL: "https://coord.example.com"}}
	}})
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
	if took, err := crowd.Drive(ctx, time.Millisecond, 3000, 4); err != nil || len(took) != 3 {
		t.Fatal(took, err)
	}
	if took, err := crowd.Drive(ctx, 10*time.Millisecond, 0, 100); err != nil || len(took) == 0 {
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

func TestAMemberJoinsAndIsCountedWhereItWatches(t *testing.T) {
	c, addr := coordinator(t, coordstore.NewMemory())
	for c.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	operate(t, c, "tailnets", coordapi.NewTailnet{Name: "home"}, nil)
	var made coordapi.Invited
	operate(t, c, "tailnets/home/invites", coordapi.NewInvite{Uses: 2}, &made)
	invite, err := coordapi.ParseInvite(made.Text)
	if err != nil {
		t.Fatal(err)
	}
	crowd, err := New(Config{Addrs: []string{"127.0.0.1:1", addr}, Boot: 1}, []*Member{{Key: key.NewPrivate()}, {Key: key.NewPrivate()}})
	if err != nil {
		t.Fatal(err)
	}
	defer crowd.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := crowd.Join(ctx, 1, invite.Credential(), "member"); err != nil {
		t.Fatal(err)
	}
	if err := crowd.Join(ctx, 1, "nonsense", "member"); err == nil {
		t.Error("joined with nonsense")
	}
	crowd.members = crowd.members[1:] // the other one goes to nobody at first
	streams := crowd.Open(1)
	defer streams.Close()
	if err := streams.AwaitElsewhere(ctx, 0, 1); err != nil {
		t.Fatal(err, streams.Last())
	}
	if streams.OpenedAt(1) != 1 || streams.OpenedAt(0) != 0 || streams.Ends.Load() == 0 {
		t.Errorf("%d and %d streams, %d ends", streams.OpenedAt(0), streams.OpenedAt(1), streams.Ends.Load())
	}
}

// operate posts to the coordinator as its operator.
func operate(t *testing.T, c *coord.Service, path string, said, got any) {
	t.Helper()
	text, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	c.AdminHandler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, coordapi.PathAdmin+path, bytes.NewReader(text)))
	if w.Code != http.StatusOK {
		t.Fatal(w.Code, w.Body)
	}
	if got != nil {
		if err := json.Unmarshal(w.Body.Bytes(), got); err != nil {
			t.Fatal(err)
		}
	}
}
