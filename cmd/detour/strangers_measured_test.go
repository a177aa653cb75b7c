//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
)

const (
	strangers = 10_000 // connections at a time

	// mostStrangersMB is what the relay may have resident meanwhile, and
	// mostLeftMB what it may keep of it a minute after they have gone.
	mostStrangersMB, mostLeftMB = 150, 20
)

// A stranger opens a connection, sends as much as it may in pieces, and does not
// log in.
type stranger struct {
	name    string
	prepare func(c net.Conn) (net.Conn, error) // what comes quickly
	sends   func() []byte                      // and what comes slowly
	plain   bool                               // beneath TLS: a part of a record
}

func bareTCP(c net.Conn) (net.Conn, error) { return c, nil }

func shaken(c net.Conn) (net.Conn, error) {
	t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}})
	return t, t.Handshake()
}

// upgraded has come as far as the greeting.
func upgraded(request string) func(c net.Conn) (net.Conn, error) {
	return func(c net.Conn) (net.Conn, error) {
		c, err := shaken(c)
		if err == nil {
			_, err = c.Write([]byte("GET /derp HTTP/1.1\r\nHost: relay.example\r\nConnection: Upgrade\r\n" + request + "\r\n"))
		}
		if err == nil {
			_, err = c.Read(make([]byte, 4096))
		}
		return c, err
	}
}

const (
	asDERP      = "Upgrade: DERP\r\n"
	asWebSocket = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: derp\r\n"
)

// record is the head of a TLS record whose body never ends, and most of it.
func record(kind byte, size int) []byte {
	return append([]byte{kind, 3, 3, byte(size >> 8), byte(size)}, make([]byte, size-1)...)
}

// clientHello is most of the largest one, in records.
func clientHello() []byte {
	hello := append([]byte{1, 0, 0xff, 0xf0}, make([]byte, 0xfff0-1)...)
	var all []byte
	for len(hello) > 0 {
		n := min(len(hello), 16<<10)
		all = append(append(all, 22, 3, 1, byte(n>>8), byte(n)), hello[:n]...)
		hello = hello[n:]
	}
	return all
}

func clientInfo() []byte {
	return derp.AppendHeader(nil, derp.FrameClientInfo, derp.MaxClientInfo)
}

var strangerKinds = []stranger{
	{name: "silent", prepare: bareTCP, sends: func() []byte { return nil }},
	{name: "part of a hello", prepare: bareTCP, sends: clientHello},
	{name: "no request", prepare: shaken, sends: func() []byte { return nil }},
	{name: "part of a request", prepare: shaken, sends: func() []byte {
		return append([]byte("GET /derp HTTP/1.1\r\nX: "), bytes.Repeat([]byte("x"), 19<<10)...)
	}},
	{name: "part of a record instead of a request", prepare: shaken, plain: true, sends: func() []byte { return record(23, 16<<10) }},
	{name: "no login", prepare: upgraded(asDERP), sends: func() []byte { return nil }},
	{name: "part of a login", prepare: upgraded(asDERP), sends: func() []byte {
		return append(clientInfo(), make([]byte, derp.MaxClientInfo-1)...)
	}},
	{name: "part of a record instead of a login", prepare: upgraded(asDERP), plain: true, sends: func() []byte { return record(23, 16<<10) }},
	{name: "part of a login over WebSocket", prepare: upgraded(asWebSocket), sends: func() []byte {
		return append(append([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 4, 0, 5, 0, 0, 0, 0}, clientInfo()...), make([]byte, derp.MaxClientInfo-1)...)
	}},
}

// visit comes, stays until it is closed or all is over, and goes.
func (s *stranger) visit(addr string, over <-chan struct{}) {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer raw.Close()
	gone := make(chan struct{})
	defer close(gone)
	go func() {
		select {
		case <-over:
			raw.Close()
		case <-gone:
		}
	}()
	raw.SetDeadline(time.Now().Add(time.Minute))
	c, err := s.prepare(raw)
	if err != nil {
		return
	}
	if s.plain {
		c = raw
	}
	for p := range slices.Chunk(s.sends(), 16<<10) {
		if _, err := c.Write(p); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	for b := make([]byte, 4096); err == nil; { // until it is closed
		_, err = raw.Read(b)
	}
}

// residentMB returns how much memory of a process is resident.
func residentMB(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb >> 10
}

// BenchmarkStrangers measures what 10,000 of a kind make the relay hold, and what
// it keeps of that when they have gone. It takes a minute or two for each:
//
//	go test -run '^$' -bench Strangers -benchtime 1x ./cmd/detour
func BenchmarkStrangers(b *testing.B) {
	for _, k := range strangerKinds {
		b.Run(k.name, func(b *testing.B) { measureStrangers(b, []stranger{k}) })
	}
	b.Run("all of them", func(b *testing.B) { measureStrangers(b, strangerKinds) })
}

// measureStrangers has as many of them as there may be, who come back whenever
// they are closed.
func measureStrangers(b *testing.B, kinds []stranger) {
	s := startService(b, "--self-check", "off")
	time.Sleep(time.Second)
	start := residentMB(b, s.cmd.Process.Pid)
	addr := strings.TrimSuffix(strings.TrimPrefix(s.url, "https://"), "/derp")
	var all sync.WaitGroup
	over := make(chan struct{})
	for i := range strangers {
		all.Go(func() {
			for wait := time.Duration(i) * 10 * time.Second / strangers; ; wait = time.Second {
				select {
				case <-over:
					return
				case <-time.After(wait):
					kinds[i%len(kinds)].visit(addr, over)
				}
			}
		})
	}
	most, left := 0, 0
	for range 100 {
		time.Sleep(250 * time.Millisecond)
		most = max(most, residentMB(b, s.cmd.Process.Pid)) // peak
	}
	close(over)
	all.Wait()
	for range 12 { // a minute
		time.Sleep(5 * time.Second)
		if left = residentMB(b, s.cmd.Process.Pid) - start; left <= mostLeftMB {
			break
		}
	}
	b.ReportMetric(float64(most), "MB")
	b.ReportMetric(float64(left), "MB-left")
	if most > mostStrangersMB || left > mostLeftMB {
		b.Errorf("%d MB, and %d MB of it left; want %d and %d at most", most, left, mostStrangersMB, mostLeftMB)
	}
}
