package acme

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// answerTime is what an authority has for each answer, and mostAnswer bounds it: a
	// chain has a few kilobytes.
	answerTime = 30 * time.Second
	mostAnswer = 1 << 20

	// mostRest bounds what an authority may have us wait, in case it answers nonsense.
	mostRest = 24 * time.Hour
)

// A web is the way to an authority. It keeps in mind until when that wants to be left
// alone.
type web struct {
	http.Client
	rest atomic.Pointer[time.Time]
}

func newWeb(roots *x509.CertPool, timeout time.Duration) *web {
	w := new(web)
	w.Timeout = timeout
	w.Transport = &listening{w, &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		IdleConnTimeout:        time.Minute,
		ForceAttemptHTTP2:      true,
	}}
	return w
}

// until is when the authority may be asked again.
func (w *web) until() (t time.Time) {
	if at := w.rest.Load(); at != nil {
		return *at
	}
	return t
}

// listening is a transport that hears what answers say beside their content.
type listening struct {
	web  *web
	next *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (l *listening) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable {
		if at := retryAfter(answer.Header.Get("Retry-After"), time.Now()); !at.IsZero() {
			l.web.rest.Store(&at)
		}
	}
	answer.Body = &bounded{answer.Body, mostAnswer}
	return answer, nil
}

// CloseIdleConnections is what http.Client asks for.
func (l *listening) CloseIdleConnections() { l.next.CloseIdleConnections() }

// retryAfter reads the header of that name: seconds or a date (RFC 9110, 10.2.3); zero
// for what is neither.
func retryAfter(text string, now time.Time) (at time.Time) {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		at = now.Add(time.Duration(seconds) * time.Second)
	} else if date, err := http.ParseTime(text); err == nil {
		at = date
	}
	if latest := now.Add(mostRest); at.After(latest) {
		return latest
	}
	return at
}

var errTooLong = errors.New("the answer is too long for one of an ACME authority")

// A bounded body ends in an error where it should have ended.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
