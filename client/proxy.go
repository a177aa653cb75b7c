package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// findProxy asks for the proxy.
func (t *target) findProxy() error {
	asked := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: t.url.Host}, Header: http.Header{}}
	proxy, err := t.Proxy(asked)
	if err != nil {
		return fmt.Errorf("find the proxy: %w", err)
	}
	if proxy != nil && proxy.Scheme != "http" && proxy.Scheme != "https" {
		return fmt.Errorf("proxy %s: only http and https proxies can be used", proxy.Redacted())
	}
	t.proxy = proxy
	return nil
}

// dialTCP connects to the relay, or to the proxy if there is one.
func (t *target) dialTCP(ctx context.Context) (net.Conn, error) {
	addr := t.addr
	if t.proxy != nil {
		addr = proxyAddr(t.proxy)
	}
	conn, err := t.DialContext(ctx, "tcp", addr)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
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

// throughProxy makes a socket whose other end is the relay.
func (t *target) throughProxy(ctx context.Context, conn net.Conn) (*socket, error) {
	if t.proxy == nil {
		return &socket{Conn: conn}, nil
	}
	sock, err := t.connectProxy(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", t.proxy.Host, err)
	}
	return sock, nil
}

func (t *target) connectProxy(ctx context.Context, conn net.Conn) (*socket, error) {
	if t.proxy.Scheme == "https" {
		over := tls.Client(conn, &tls.Config{ServerName: t.proxy.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: t.RootCAs})
		if err := over.HandshakeContext(ctx); err != nil {
			return nil, proxyTLSError(err)
		}
		conn = over
	}
	if _, err := conn.Write(t.connectRequest()); err != nil {
		return nil, err
	}
	in := inbuf{src: conn}
	if err := readAnswer(&in, conn, http.StatusOK); err != nil {
		var refusal *StatusError
		if errors.As(err, &refusal) {
			refusal.Proxy = true
		}
		return nil, noEOF(err)
	}
	return &socket{Conn: conn, early: bytes.Clone(in.buffered())}, nil
}

func proxyTLSError(err error) error {
	var invalid *tls.CertificateVerificationError
	if errors.As(err, &invalid) {
		err = fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return fmt.Errorf("TLS: %w", err)
}

func (t *target) connectRequest() []byte {
	request := fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n", t.addr)
	if user := t.proxy.User; user != nil {
		password, _ := user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		request += "Proxy-Authorization: Basic " + credentials + "\r\n"
	}
	return []byte(request + "\r\n")
}
