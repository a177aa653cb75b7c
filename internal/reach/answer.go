package reach

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// UserAgent is what relays see from clients of the reference implementation;
// nothing depends on it.
const UserAgent = "Go-http-client/1.1"

// UpgradeRequest returns the HTTP request to take the connection over (spec 1.4). A
// relay does not answer it if it is for a fast start. idealNode may be empty.
func (t *Target) UpgradeRequest(fastStart bool, idealNode string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\n", t.Location.RequestURI())
	fmt.Fprintf(&b, "Host: %s\r\n", t.HostHeader())
	b.WriteString("User-Agent: " + UserAgent + "\r\n")
	b.WriteString("Connection: Upgrade\r\n")
	if fastStart {
		b.WriteString("Derp-Fast-Start: 1\r\n")
	}
	if idealNode != "" {
		fmt.Fprintf(&b, "Ideal-Node: %s\r\n", idealNode)
	}
	b.WriteString("Upgrade: DERP\r\n\r\n")
	return []byte(b.String())
}

// Upgrade sends that request over conn, not for a fast start. It returns what the
// relay has sent behind its answer; the header says what the connection was taken
// over for, see [ForDERP].
func (t *Target) Upgrade(conn net.Conn, idealNode string) (header http.Header, behind []byte, err error) {
	if _, err := conn.Write(t.UpgradeRequest(false, idealNode)); err != nil {
		return nil, nil, err
	}
	header, behind, err = readAnswer(conn, conn, http.StatusSwitchingProtocols)
	return header, behind, unanswered(err)
}

// GetRequest returns a request for another path of the relay.
func (t *Target) GetRequest(path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nConnection: close\r\n\r\n",
		path, t.HostHeader(), UserAgent)
}

const (
	maxAnswer   = 16 << 10 // of an HTTP header
	maxInterim  = 5        // answers that are not the last one
	maxBegin    = 64       // of what is not HTTP
	maxBody     = 1 << 10  // of what comes with a refusal
	bodyTimeout = time.Second
)

// ErrNoAnswer: the connection ended after the HTTP request.
var ErrNoAnswer = errors.New("closed without an answer to the HTTP request")

// NotHTTPError: what answers speaks something else. It wraps ErrProtocol.
type NotHTTPError struct {
	Begin []byte // what it says first
}

// Error quotes what was said, which names most services.
func (e *NotHTTPError) Error() string {
	return fmt.Sprintf("the answer is not HTTP; it begins with %.40q", e.Begin)
}

func (e *NotHTTPError) Unwrap() error { return ErrProtocol }

// ReadAnswer reads the head of an HTTP answer from in, which comes from conn, and
// returns what has come behind it. Any status but want is a *StatusError; after it,
// as after any error, conn is of no use any more.
func ReadAnswer(in io.Reader, conn net.Conn, want int) (behind []byte, err error) {
	_, behind, err = readAnswer(in, conn, want)
	return behind, err
}

func readAnswer(in io.Reader, conn net.Conn, want int) (header http.Header, behind []byte, err error) {
	answer, head, behind, err := readHead(in)
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode == want {
		return answer.Header, behind, nil
	}
	// The body is a text for people; without it the refusal is the same.
	conn.SetReadDeadline(time.Now().Add(bodyTimeout))
	if answer, err = whole(head, behind, in, nil); err != nil {
		return nil, nil, err
	}
	return nil, nil, RefusalOf(answer)
}

// ForDERP reports whether the header of an answer says that the connection was taken
// over for DERP. Without that, only a greeting shows that it leads to a relay.
func ForDERP(header http.Header) bool { return strings.EqualFold(header.Get("Upgrade"), "DERP") }

// NotForDERP is why no relay greets behind an answer that was not for DERP.
func NotForDERP(header http.Header, err error) error {
	if to := header.Get("Upgrade"); to != "" {
		return fmt.Errorf("%w: HTTP status 101 for %.40q instead of DERP: %w", ErrProtocol, to, err)
	}
	return fmt.Errorf("%w: HTTP status 101 without a word of DERP: %w", ErrProtocol, err)
}

// unanswered tells of a connection that ended instead of an answer.
func unanswered(err error) error {
	if IsGone(err) {
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return err
}

// ParseHead parses the head of an answer, whose body is not to be read.
func ParseHead(head []byte) (*http.Response, error) {
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the HTTP answer cannot be read: %w", ErrProtocol, err)
	}
	return answer, nil
}

// whole puts an answer together again, with its body.
func whole(head, behind []byte, in io.Reader, to *http.Request) (*http.Response, error) {
	return http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head), bytes.NewReader(behind), in)), to)
}

// RefusalOf returns what an answer says, and reads the beginning of its body.
func RefusalOf(answer *http.Response) *StatusError {
	refusal := &StatusError{Code: answer.StatusCode}
	if answer.StatusCode/100 == 3 {
		refusal.Redirect = answer.Header.Get("Location")
	}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	refusal.Body = strings.TrimSpace(strings.ToValidUTF8(string(body), ""))
	return refusal
}

// readHead reads the head of the answer proper: a proxy may say before it that it
// goes on (100) or what there will be (103).
func readHead(in io.Reader) (answer *http.Response, head, behind []byte, err error) {
	for range maxInterim {
		if head, behind, err = ReadHead(io.MultiReader(bytes.NewReader(behind), in)); err != nil {
			return nil, nil, nil, err
		}
		answer, err = ParseHead(head)
		if err != nil || answer.StatusCode/100 != 1 || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, head, behind, err
		}
	}
	return nil, nil, nil, fmt.Errorf("%w: more than %d interim HTTP answers", ErrProtocol, maxInterim)
}

// ReadHead reads up to the empty line that ends the head of an HTTP answer, and
// returns what has come behind it, too.
func ReadHead(in io.Reader) (head, behind []byte, err error) {
	b := make([]byte, 0, 1<<10)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := readSome(in, b[len(b):cap(b)])
		b = b[:len(b)+n]
		if !bytes.HasPrefix(b, []byte("HTTP/")[:min(len(b), 5)]) {
			return nil, nil, &NotHTTPError{bytes.Clone(b[:min(len(b), maxBegin)])}
		}
		if end := bytes.Index(b, []byte("\r\n\r\n")); end >= 0 {
			return b[: end+4 : end+4], b[end+4:], nil
		}
		switch {
		case len(b) > maxAnswer:
			return nil, nil, fmt.Errorf("%w: the HTTP answer has a header of more than %d bytes", ErrProtocol, maxAnswer)
		case err == io.EOF && len(b) > 0:
			return nil, nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, nil, err
		}
	}
}

// readSome reads at least one byte. A reader may return nothing without an error,
// but not forever.
func readSome(in io.Reader, p []byte) (int, error) {
	for range 100 {
		if n, err := in.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}
