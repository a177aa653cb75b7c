package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// userAgent is what relays see from clients of the reference implementation; nothing depends on it.
const userAgent = "Go-http-client/1.1"

// upgradeRequest returns the HTTP request to take the connection over.
func (t *target) upgradeRequest(fastStart bool) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\n", t.url.RequestURI())
	fmt.Fprintf(&b, "Host: %s\r\n", t.hostPort)
	b.WriteString("User-Agent: " + userAgent + "\r\n")
	b.WriteString("Connection: Upgrade\r\n")
	if fastStart {
		b.WriteString("Derp-Fast-Start: 1\r\n")
	}
	if t.IdealNode != "" {
		fmt.Fprintf(&b, "Ideal-Node: %s\r\n", t.IdealNode)
	}
	b.WriteString("Upgrade: DERP\r\n\r\n")
	return []byte(b.String())
}

const (
	maxAnswer    = 16 << 10 // of an HTTP header
	maxBody      = 1 << 10  // of what comes with a refusal
	bodyPatience = time.Second
)

// readAnswer reads the header of an HTTP answer and nothing behind it. Any status but want is a *StatusError. The input
// comes from conn, which is of no use any more after an error.
func readAnswer(in *inbuf, conn net.Conn, want int) error {
	head, err := readHead(in)
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		return fmt.Errorf("%w: the HTTP answer cannot be read: %w", ErrProtocol, err)
	}
	if answer.StatusCode == want {
		in.discard(len(head))
		return nil
	}
	conn.SetReadDeadline(time.Now().Add(bodyPatience))
	return readRefusal(bufio.NewReader(in))
}

// readRefusal reads an answer again, with its body. That is a text for people; without it the refusal is the same.
func readRefusal(in *bufio.Reader) error {
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	refusal := refusalOf(answer)
	answer.Body.Close()
	return refusal
}

func refusalOf(answer *http.Response) *StatusError {
	refusal := &StatusError{Code: answer.StatusCode}
	if answer.StatusCode/100 == 3 {
		refusal.Redirect = answer.Header.Get("Location")
	}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	refusal.Body = strings.TrimSpace(strings.ToValidUTF8(string(body), ""))
	return refusal
}

// readHead returns what is up to the empty line, which stays buffered.
func readHead(in *inbuf) ([]byte, error) {
	for n := 1; n <= maxAnswer; n = len(in.buffered()) + 1 {
		if err := in.need(n); err != nil {
			return nil, err
		}
		if i := bytes.Index(in.buffered(), []byte("\r\n\r\n")); i >= 0 {
			return in.buffered()[:i+4], nil
		}
		if start := in.buffered(); !bytes.HasPrefix(start, []byte("HTTP/")[:min(len(start), 5)]) {
			return nil, fmt.Errorf("%w: the answer is not HTTP", ErrProtocol)
		}
	}
	return nil, fmt.Errorf("%w: the HTTP answer has a header of more than %d bytes", ErrProtocol, maxAnswer)
}
