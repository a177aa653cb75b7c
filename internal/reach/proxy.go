package reach

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// FindProxy asks for the proxy, and keeps it in Via.
func (t *Target) FindProxy() error {
	asked := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: t.Location.Host}, Header: http.Header{}}
	proxy, err := t.Proxy(asked)
	if err != nil {
		return &ProxyError{Err: err}
	}
	if proxy != nil && proxy.Scheme != "http" && proxy.Scheme != "https" {
		return &ProxyError{proxy.Scheme + "://" + proxy.Host, errors.New("only http and https proxies can be used")}
	}
	t.Via = proxy
	return nil
}

// DialTCP connects to the relay, or to the proxy if there is one.
func (t *Target) DialTCP(ctx context.Context) (net.Conn, error) {
	addr := t.Addr
	if t.Via != nil {
		addr = proxyAddr(t.Via)
	}
	conn, err := t.DialContext(ctx, "tcp", addr)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil && t.Via != nil {
		err = &ProxyError{t.Via.Host, err}
	}
	return conn, err
}

func proxyAddr(proxy *url.URL) string {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	return net.JoinHostPort(proxy.Hostname(), port)
}

// ThroughProxy has the proxy, if there is one, connect us to the relay. It returns
// the connection whose other end is the relay, and what came from there already. If
// it fails, raw is to be closed.
func (t *Target) ThroughProxy(ctx context.Context, raw net.Conn) (conn net.Conn, early []byte, err error) {
	if t.Via == nil {
		return raw, nil, nil
	}
	err = During(ctx, raw, func() error {
		conn, early, err = t.connectProxy(ctx, raw)
		return err
	})
	if err != nil {
		return nil, nil, &ProxyError{t.Via.Host, err}
	}
	return conn, early, nil
}

func (t *Target) connectProxy(ctx context.Context, conn net.Conn) (net.Conn, []byte, error) {
	if t.Via.Scheme == "https" {
		over := tls.Client(conn, &tls.Config{ServerName: t.Via.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: t.RootCAs})
		if err := over.HandshakeContext(ctx); err != nil {
			return nil, nil, proxyTLSError(err)
		}
		conn = over
	}
	if _, err := conn.Write(t.connectRequest()); err != nil {
		return nil, nil, err
	}
	early, err := ReadAnswer(conn, conn, http.StatusOK)
	if refusal, ok := errors.AsType[*StatusError](err); ok {
		refusal.Proxy = true
	}
	return conn, early, NoEOF(err)
}

func proxyTLSError(err error) error {
	if _, invalid := errors.AsType[*tls.CertificateVerificationError](err); invalid {
		err = fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return fmt.Errorf("TLS: %w", err)
}

func (t *Target) connectRequest() []byte {
	request := fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n", t.Addr)
	if user := t.Via.User; user != nil {
		password, _ := user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		request += "Proxy-Authorization: Basic " + credentials + "\r\n"
	}
	return []byte(request + "\r\n")
}
