package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
)

// The opcodes of WebSocket that a raw peer sends (RFC 6455, section 5.2).
const (
	binaryMessage = 0x2
	pingMessage   = 0x9
)

// askWebSocket has the peer speak in messages from now on.
func askWebSocket(p *rawPeer) error {
	const request = "GET /derp HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: YmVuY2gsIG5vIHNlY3JldA==\r\nSec-WebSocket-Protocol: derp\r\n\r\n"
	if _, err := io.WriteString(p.conn, request); err != nil {
		return err
	}
	response, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the relay answers the wish for WebSocket with %s", response.Status)
	}
	p.in = bufio.NewReader(&messages{in: p.in})
	return nil
}

// message is one whole message, masked with zeros, which leave it as it is.
func message(opcode byte, content []byte) []byte {
	b := []byte{0x80 | opcode, 0x80 | byte(len(content))}
	if len(content) > 125 {
		b[1] = 0x80 | 126
		b = binary.BigEndian.AppendUint16(b, uint16(len(content)))
	}
	return append(append(b, 0, 0, 0, 0), content...)
}

func inMessage(frame []byte) []byte { return message(binaryMessage, frame) }

// messages reads what is in the messages of a relay, which are not masked. Those about the connection are skipped.
type messages struct {
	in   *bufio.Reader
	left int // of the message that has begun
}

func (m *messages) Read(p []byte) (int, error) {
	for m.left == 0 {
		opcode, n, err := m.header()
		if err != nil {
			return 0, err
		}
		if opcode < 0x8 {
			m.left = n
		} else if _, err := m.in.Discard(n); err != nil {
			return 0, err
		}
	}
	n, err := m.in.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}

func (m *messages) header() (opcode byte, n int, err error) {
	var b [8]byte
	if _, err := io.ReadFull(m.in, b[:2]); err != nil {
		return 0, 0, err
	}
	opcode, n = b[0]&0xf, int(b[1])
	switch n {
	case 126:
		_, err = io.ReadFull(m.in, b[:2])
		n = int(binary.BigEndian.Uint16(b[:]))
	case 127:
		_, err = io.ReadFull(m.in, b[:8])
		n = int(binary.BigEndian.Uint64(b[:]))
	}
	return opcode, n, err
}
