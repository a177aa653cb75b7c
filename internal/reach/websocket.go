package reach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"

	"github.com/coder/websocket"
)

const (
	webSocketProtocol = "derp"
	// The reference relay closes the connection on a larger message.
	maxMessage = 32 << 10
)

// DialWebSocket asks the relay at the other end of conn for a WebSocket. The stream
// is what its messages carry.
func (t *Target) DialWebSocket(ctx context.Context, conn net.Conn) (io.ReadWriter, *websocket.Conn, error) {
	ws, answer, err := websocket.Dial(ctx, t.Location.String(), &websocket.DialOptions{
		HTTPClient:      oneConnClient(conn),
		HTTPHeader:      http.Header{"User-Agent": {UserAgent}},
		Subprotocols:    []string{webSocketProtocol},
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, nil, webSocketError(answer, err)
	}
	if ws.Subprotocol() != webSocketProtocol {
		ws.CloseNow()
		return nil, nil, fmt.Errorf("%w: the WebSocket is not for %q", ErrProtocol, webSocketProtocol)
	}
	Unfinalized(ws)
	ws.SetReadLimit(-1) // frames have their own limits
	return &messages{ws: ws}, ws, nil
}

// Unfinalized lets a WebSocket be collected that ends with its transport, without a
// close of its own: the library sets a finalizer on what refers to itself, so that
// it would stay for ever.
func Unfinalized(ws *websocket.Conn) { runtime.SetFinalizer(ws, nil) }

// webSocketError leaves out what the library says of its steps.
func webSocketError(answer *http.Response, err error) error {
	if answer != nil && answer.StatusCode != http.StatusSwitchingProtocols {
		return RefusalOf(answer)
	}
	if answer != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, cmp.Or(errors.Unwrap(err), err))
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

// oneConnClient returns a client for one request over conn.
func oneConnClient(conn net.Conn) *http.Client {
	return &http.Client{
		Transport:     oneConn{conn},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// messages is the byte stream in the messages of a WebSocket. Deadlines are those of
// the connection below.
type messages struct {
	ws      *websocket.Conn
	message io.Reader // the one being read
}

var errTextMessage = errors.New("a text message in a stream of binary ones")

func (m *messages) Read(p []byte) (int, error) {
	for {
		if m.message == nil {
			if err := m.next(); err != nil {
				return 0, err
			}
		}
		n, err := m.message.Read(p)
		if err == io.EOF {
			m.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (m *messages) next() error {
	kind, message, err := m.ws.Reader(context.Background())
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway:
		return io.EOF
	}
	if err != nil {
		return err
	}
	if kind != websocket.MessageBinary {
		return fmt.Errorf("%w: %w", ErrProtocol, errTextMessage)
	}
	m.message = message
	return nil
}

// Write sends p in as few messages as their size allows; where they begin and end
// has no meaning.
func (m *messages) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), maxMessage)
		if err := m.ws.Write(context.Background(), websocket.MessageBinary, rest[:n]); err != nil {
			return len(p) - len(rest), err
		}
		rest = rest[n:]
	}
	return len(p), nil
}
