package reach

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// Exchange sends a request over conn, whose other end is the relay, and returns the
// answer. Unlike an http.Transport it takes conn for what it is, a connection for
// one request: what is said unasked is the answer, nothing is logged, and the errors
// are this package's. The body is read from conn, and closing it closes conn; behind
// 101 it can be written to.
func Exchange(conn net.Conn, r *http.Request) (*http.Response, error) {
	if r.Header.Get("Upgrade") == "" {
		r.Close = true
	}
	if err := r.Write(conn); err != nil && !IsGone(err) {
		return nil, err
	}
	// Who has closed the connection may have said why.
	answer, head, behind, err := readHead(conn)
	if err != nil {
		return nil, unanswered(err)
	}
	if answer.StatusCode == http.StatusSwitchingProtocols {
		answer.Body = takenOver{io.MultiReader(bytes.NewReader(behind), conn), conn}
		return answer, nil
	}
	if answer, err = whole(head, behind, conn, r); err != nil {
		return nil, err
	}
	// Its own Close would read up to the end.
	answer.Body = ended{answer.Body, conn}
	return answer, nil
}

// takenOver is a connection behind an answer of 101.
type takenOver struct {
	io.Reader
	io.WriteCloser
}

// ended is a body that takes the connection with it.
type ended struct {
	io.Reader
	io.Closer
}

// oneConn makes one request over a connection, which is to become a WebSocket.
type oneConn struct{ net.Conn }

func (c oneConn) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	err = During(r.Context(), c.Conn, func() error {
		answer, err = Exchange(c.Conn, r)
		if err == nil && answer.StatusCode == http.StatusSwitchingProtocols && !strings.EqualFold(answer.Header.Get("Upgrade"), "websocket") {
			err = fmt.Errorf("%w: HTTP status 101 for %.40q instead of a WebSocket", ErrProtocol, answer.Header.Get("Upgrade"))
		}
		return err
	})
	if err != nil {
		return nil, err // net/http wants one of the two
	}
	return answer, nil
}
