package coordserver

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// Those above the bound are turned away, and a place that is given back is free.
func TestOnlySoManyConnections(t *testing.T) {
	c := dev(t)
	c.Front.MaxConns = 2
	s, _ := run(t, c, Options{})
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", s.State().Listen)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	answered := func(conn net.Conn) bool {
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		head := make([]byte, 12)
		n, _ := conn.Read(head)
		return bytes.Equal(head[:n], []byte("HTTP/1.1 200"))
	}
	first, second := dial(), dial()
	if !answered(first) || !answered(second) {
		t.Error("those within the bound are not answered")
	}
	if answered(dial()) || s.State().Conns.TurnedAway != 1 {
		t.Errorf("a third one was answered: %+v", s.State().Conns)
	}
	first.Close()
	for !answered(dial()) { // once the server has seen that the first has gone
		if t.Context().Err() != nil {
			t.Fatal("the place is not free")
		}
	}
	if now := s.State().Conns; now.Now != 2 || now.Most != 2 {
		t.Errorf("%+v", now)
	}
}
