package mesh

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
)

// maxAnswer bounds the head of the HTTP answer, and what may come with it.
const maxAnswer = 16 << 10

// upgrade asks the relay at the other end of conn to take the connection over
// (spec 1.4), and returns what it has sent behind its answer.
func upgrade(conn net.Conn, host string) (buffered []byte, err error) {
	_, err = fmt.Fprintf(conn, "GET /derp HTTP/1.1\r\n"+
		"Host: %s\r\n"+
		"User-Agent: detour\r\n"+
		"Connection: Upgrade\r\n"+
		"Upgrade: DERP\r\n\r\n", host)
	if err != nil {
		return nil, fmt.Errorf("HTTP: %w", err)
	}
	in := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("HTTP: %w", err)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("HTTP: the answer is %.100q instead of 101: is this a relay, and nothing in between?", answer.Status)
	}
	return in.Peek(in.Buffered())
}
