package measure

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	noCache   = "no-cache, no-store, must-revalidate, no-transform, max-age=0"
	maxAnswer = 16 << 10 // bytes of an answer that are looked at
)

// isPortal reports whether what answers on port 80 of a host is not a relay. If
// nothing does, it is not.
//
// This is HTTP by hand, since net/http may go on connecting after its caller has
// left.
func (r *run) isPortal(ctx context.Context, host string) bool {
	conn, err := r.cfg.DialContext(ctx, "tcp", net.JoinHostPort(host, "80"))
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	challenge := "ts_" + host
	if err := generate204(host, challenge).Write(conn); err != nil {
		return false
	}
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxAnswer)), nil)
	if err != nil {
		return false
	}
	return answer.StatusCode != http.StatusNoContent || answer.Header.Get("X-Tailscale-Response") != "response "+challenge
}

// generate204 returns the request that relays answer with 204, and with a header
// made of the challenge.
func generate204(host, challenge string) *http.Request {
	query := url.Values{"t": {strconv.FormatInt(time.Now().Unix(), 10)}}
	return &http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: "http", Host: host, Path: "/generate_204", RawQuery: query.Encode()},
		Header: http.Header{"Cache-Control": {noCache}, "X-Tailscale-Challenge": {challenge}},
		Close:  true,
	}
}
