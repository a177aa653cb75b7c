//go:build unix

package netio

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"testing"
)

// Where this fails, another Go lays a tls.Conn out otherwise: idle conns cost up to 18 KB
// more with it, until recordroom_unix.go knows its fields.
func TestLayoutOfTLSConnIsKnown(t *testing.T) {
	if !tlsLayout.known {
		t.Error("tls.Conn has no rawInput and hand that are a bytes.Buffer each")
	}
}

// What is not as it is known is not touched.
func TestOtherLayoutsAreLeftAlone(t *testing.T) {
	for name, other := range map[string]reflect.Type{
		"fields are gone":     reflect.TypeFor[struct{ rawInput bytes.Buffer }](),
		"one is another type": reflect.TypeFor[struct{ rawInput, hand []byte }](),
		"both are pointers":   reflect.TypeFor[struct{ rawInput, hand *bytes.Buffer }](),
	} {
		l := layoutOf(other, "rawInput", "hand")
		if l.known || l.records(new(tls.Conn)) != nil || l.handshake(new(tls.Conn)) != nil {
			t.Errorf("%s: taken for known", name)
		}
	}
}

// Bytes that a conn has not worked through stay where they are.
func TestRecordRoomLeavesWhatIsThere(t *testing.T) {
	c, room := new(tls.Conn), recordRoom{}
	records, handshake := tlsLayout.records(c), tlsLayout.handshake(c)
	records.WriteString("ab")
	handshake.WriteString("cd")
	room.lend(c)
	room.takeBack(c)
	if records.String() != "ab" || handshake.String() != "cd" || room.lent != nil {
		t.Fatalf("%q and %q are left", records, handshake)
	}
	records.Next(2)
	handshake.Next(2)
	room.lend(c)
	if records.Cap() != recordRoomSize || records.Len() > 0 {
		t.Errorf("room for %d bytes is lent, and %d are there", records.Cap(), records.Len())
	}
	records.WriteString("ef")
	room.takeBack(c)
	room.lend(c) // a second time
	if records.String() != "ef" || room.lent == nil || handshake.Cap() > 0 {
		t.Errorf("%q is left", records)
	}
	records.Next(2)
	room.takeBack(c)
	if records.Cap() > 0 || room.lent != nil {
		t.Error("an empty conn holds something")
	}
}
