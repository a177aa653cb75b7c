package usernet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// What RFC 1928 calls them.
const (
	socksVersion = 5
	noSecret     = 0
	noMethod     = 0xff
	connect      = 1
	typeIPv4     = 1
	typeName     = 3
	typeIPv6     = 4

	replyDone        = 0
	replyFailed      = 1
	replyUnreachable = 4
	replyCommand     = 7
	replyType        = 8
)

// greetTime is how long a program may take to say where it wants to.
const greetTime = 10 * time.Second

// A target is where a program wants to: a name or an address, and a port.
type target struct {
	name string // empty: addr
	addr netip.Addr
	port uint16
}

func (t target) String() string {
	if t.name != "" {
		return fmt.Sprintf("%s:%d", t.name, t.port)
	}
	return netip.AddrPortFrom(t.addr, t.port).String()
}

// refusal is an error with the reply that tells of it.
type refusal struct {
	reply byte
	text  string
}

func (r refusal) Error() string { return "SOCKS: " + r.text }

// readSOCKS reads what a program says, which may be anything, and answers its greeting.
func readSOCKS(rw io.ReadWriter) (t target, err error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(rw, head[:2]); err != nil {
		return t, err
	}
	if head[0] != socksVersion {
		return t, errors.New("SOCKS: it speaks another version than 5")
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(rw, methods); err != nil {
		return t, err
	}
	chosen := byte(noMethod)
	for _, m := range methods {
		if m == noSecret {
			chosen = noSecret
		}
	}
	if _, err := rw.Write([]byte{socksVersion, chosen}); err != nil {
		return t, err
	}
	if chosen == noMethod {
		return t, errors.New("SOCKS: it wants to say a password, and none is taken")
	}
	if _, err := io.ReadFull(rw, head); err != nil {
		return t, err
	}
	if t, err = readTarget(rw, head[3]); err != nil {
		return t, err
	}
	if head[0] != socksVersion || head[1] != connect {
		return t, refusal{replyCommand, "nothing but CONNECT is possible"}
	}
	return t, nil
}

func readTarget(r io.Reader, kind byte) (t target, err error) {
	var length [1]byte
	switch kind {
	case typeIPv4:
		length[0] = 4
	case typeIPv6:
		length[0] = 16
	case typeName:
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return t, err
		}
	default:
		return t, refusal{replyType, "want a name or an address"}
	}
	text := make([]byte, int(length[0])+2)
	if _, err := io.ReadFull(r, text); err != nil {
		return t, err
	}
	t.port = binary.BigEndian.Uint16(text[length[0]:])
	text = text[:length[0]]
	if kind != typeName {
		t.addr, _ = netip.AddrFromSlice(text)
		t.addr = t.addr.Unmap()
		return t, nil
	}
	if t.addr, err = netip.ParseAddr(string(text)); err != nil { // some say addresses so
		t.name = string(text)
	}
	if len(text) == 0 {
		return t, refusal{replyFailed, "the name is empty"}
	}
	return t, nil
}

// replyTo is what a program is told at the end of its greeting.
func replyTo(err error) []byte {
	code := byte(replyDone)
	if r, ok := errors.AsType[refusal](err); ok {
		code = r.reply
	} else if err != nil {
		code = replyUnreachable
	}
	return []byte{socksVersion, code, 0, typeIPv4, 0, 0, 0, 0, 0, 0}
}

// serveSOCKS carries one connection of a program to where it wants.
func (p *Ports) serveSOCKS(ctx context.Context, c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(greetTime))
	t, err := readSOCKS(c)
	if _, refused := errors.AsType[refusal](err); err != nil && !refused {
		return
	}
	var far net.Conn
	if err == nil {
		far, err = p.dial(ctx, t)
	}
	c.SetDeadline(time.Now().Add(greetTime))
	if _, failed := c.Write(replyTo(err)); err != nil || failed != nil {
		if far != nil {
			far.Close()
		}
		return
	}
	c.SetDeadline(time.Time{})
	join(ctx, c, far)
}
