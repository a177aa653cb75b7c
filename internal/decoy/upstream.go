package decoy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	dialTime = 5 * time.Second
	// headTime is what an upstream has to begin its answer; what it says then may take long.
	headTime = time.Minute
	idleTime = time.Minute
	mostIdle = 32 // connections that are kept for the next request
	mostHead = 64 << 10
)

// An address is where an upstream is.
type address struct {
	url    *url.URL // what requests are made for
	socket string   // path; empty: where the URL says
}

// parseUpstream reads proxy:http://host, proxy:https://host and proxy:unix:/path.
func parseUpstream(home string) (a address, err error) {
	text := strings.TrimPrefix(home, ProxyPrefix)
	if path, isUnix := strings.CutPrefix(text, "unix:"); isUnix {
		if !filepath.IsAbs(path) {
			return a, fmt.Errorf("%q: write the whole path of the socket behind unix:, such as proxy:unix:/run/web.sock", home)
		}
		return address{&url.URL{Scheme: "http", Host: "localhost"}, path}, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return a, fmt.Errorf("%q: want proxy: and the URL of a server, such as proxy:http://127.0.0.1:8080, or proxy:unix: and the path of a socket", home)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return a, errors.New("the URL behind proxy: has a user, a query or a fragment: write scheme, host and perhaps a path only")
	}
	return address{url: u}, nil
}

// upstream makes a home of another server.
func (h *Home) upstream(config Config) {
	at, _ := parseUpstream(config.Home) // checked before
	dialer := &net.Dialer{Timeout: dialTime}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			network, to := at.dial()
			return dialer.DialContext(ctx, network, to)
		},
		TLSHandshakeTimeout: dialTime, ResponseHeaderTimeout: headTime, IdleConnTimeout: idleTime, MaxIdleConns: mostIdle, MaxIdleConnsPerHost: mostIdle,
		MaxResponseHeaderBytes: mostHead, DisableCompression: true, // it is between the two
	}
	h.close = transport.CloseIdleConnections
	mark := "detour-" + rand.Text()
	proxy := &httputil.ReverseProxy{
		Transport: transport, ErrorLog: log.New(io.Discard, "", 0), FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(at.url)
			r.Out.Host = r.In.Host // it may have several names
			if config.Believes != nil && config.Believes(r.In) {
				r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			}
			r.SetXForwarded()
			r.Out.Header.Add(loopHeader, mark)
		},
		ErrorHandler: config.fail(),
	}
	fail := proxy.ErrorHandler
	h.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(r.Header[loopHeader], mark) {
			fail(w, r, errors.New("it leads back to this relay"))
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// loopHeader has the marks of those that a request has come by (RFC 8586).
const loopHeader = "Cdn-Loop"

const failed = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>502 Bad Gateway</title></head>
<body><h1>Bad Gateway</h1></body>
</html>
`

// fail answers for an upstream that does not.
func (c Config) fail() func(http.ResponseWriter, *http.Request, error) {
	var next atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, err error) {
		if r.Context().Err() != nil { // the peer has left
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if c.Down != nil {
			c.Down()
		}
		now, due := time.Now(), next.Load()
		if now.UnixNano() >= due && next.CompareAndSwap(due, now.Add(time.Minute).UnixNano()) {
			c.Log.Warn("the server behind the home page does not answer; the next such line comes in a minute at the earliest", "home", c.Home, "reason", err, "remedy", "start it, or correct its address")
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, failed)
	}
}
