package reach

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"

	"github.com/coder/websocket"

	"github.com/detour-relay/detour/internal/pin"
)

var (
	// ErrCertificate: the relay's certificate is not valid for its name.
	ErrCertificate = errors.New("certificate not valid")
	// ErrPinMismatch: the relay's certificate is not the pinned one.
	ErrPinMismatch = pin.ErrMismatch
	// ErrProtocol: what answers does not speak the protocol, or wrongly.
	ErrProtocol = errors.New("not what a relay may say")
)

// StatusError is an answer of HTTP that did not let us through.
type StatusError struct {
	Code     int    // HTTP status
	Redirect string // where a 3xx status points
	Body     string // at most 1 KiB from the beginning of what came with it
	Proxy    bool   // comes from the HTTP proxy that we asked for the way to the relay
}

// Error names the status and who gave it.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("HTTP status %d %s", e.Code, http.StatusText(e.Code))
	switch {
	case e.Proxy:
		return text + " from the proxy"
	case e.Redirect != "":
		return fmt.Sprintf("%s, a redirect to %.200q, instead of an upgrade", text, e.Redirect)
	}
	if page := e.Page(); page != "" {
		return fmt.Sprintf("%s instead of an upgrade (it says %q)", text, page)
	}
	return text + " instead of an upgrade"
}

// maxPage is how much of a page is told, in characters.
const maxPage = 80

var (
	title = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	tags  = regexp.MustCompile(`(?is)<(style|script)[^>]*>.*?(</(style|script)>|$)|<[^>]*>`)
)

// Page returns in a line what the page says that came with the status, as that is
// often the cause; "" if it says no more than the status does.
func (e *StatusError) Page() string {
	text := e.Body
	if found := title.FindStringSubmatch(text); found != nil {
		text = found[1]
	}
	text = strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(text, " "))), " ")
	plain := fmt.Sprintf("%d %s", e.Code, http.StatusText(e.Code))
	if strings.HasSuffix(strings.ToLower(plain), strings.ToLower(text)) || len(text) < len("busy") {
		return ""
	}
	if runes := []rune(text); len(runes) > maxPage {
		return string(runes[:maxPage]) + "…"
	}
	return text
}

// ProxyError is a failure on the way to the HTTP proxy, or of the proxy itself. The
// relay has no part in it.
type ProxyError struct {
	Proxy string // host and port; empty: which proxy to use could not be found out
	Err   error
}

// Error never has the proxy's password in it.
func (e *ProxyError) Error() string {
	if e.Proxy == "" {
		return fmt.Sprintf("find the proxy: %v", e.Err)
	}
	return fmt.Sprintf("proxy %s: %v", e.Proxy, e.Err)
}

func (e *ProxyError) Unwrap() error { return e.Err }

// IsGone reports whether err is about the other side having closed the connection,
// or the connection being broken.
func IsGone(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return true
	}
	if websocket.CloseStatus(err) != -1 {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// NoEOF is for places where the input must not end.
func NoEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Join joins what failed one after the other in one line.
func Join(failed, err error) error {
	if failed == nil {
		return err
	}
	return fmt.Errorf("%w; %w", failed, err)
}
