package explain

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/detour-relay/detour/client"
)

// handshake is about TLS itself, certificates aside.
func (w *Way) handshake(err error) (Finding, bool) {
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return w.noTLS(header.RecordHeader[:]), true
	}
	alert := alertIn(err)
	switch {
	case alert == nil:
		return Finding{}, false
	case alert.Error() == noCertificate.Error():
		return Finding{TLSRefused, fmt.Sprintf("%s asks for a certificate of ours, which peers do not have: have what ends TLS there ask "+
			"nobody for one", w.what())}, true
	}
	return Finding{TLSRefused, fmt.Sprintf("%s refuses the handshake: give it a certificate for %s, have it allow TLS 1.2 or 1.3, "+
		"and let it ask nobody for a certificate of his own", w.what(), w.Host)}, true
}

const (
	remoteAlert = "remote error" // what crypto/tls calls an alert of the other side

	// The alerts are known by their texts only.
	noCertificate = tls.AlertError(116)
)

// alertIn returns what the other side objects to, nil if it does not. It need not be
// the first thing that failed.
func alertIn(err error) error {
	if op, ok := err.(*net.OpError); ok && op.Op == remoteAlert {
		return op.Err
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return alertIn(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if alert := alertIn(inner); alert != nil {
				return alert
			}
		}
	}
	return nil
}

// spoken are protocols by how what their servers say begins.
var spoken = []struct{ begins, name string }{
	{"HTTP", "plain HTTP"}, {"SSH-", "SSH"}, {"220", "a mail server's SMTP, or FTP"}, {"+OK", "POP3"}, {"* OK", "IMAP"},
	{"RFB", "VNC"}, {"<", "HTTP/0.9"}, {"-ERR", "Redis"}, {"-NOAUTH", "Redis"}, {alertRecord, "TLS"}, {"AMQP", "AMQP"},
}

const alertRecord = "\x15\x03" // how TLS says that it does not understand

// isHTTP2 reports whether what is said begins with the frame that a server of HTTP/2
// says first, its settings.
func isHTTP2(begin []byte) bool {
	const typeAt, settings, streamAt = 3, 4, 5
	return len(begin) > streamAt && begin[0] == 0 && begin[1] == 0 && begin[typeAt] == settings && begin[streamAt] == 0
}

// speaks tells by the first bytes what it is that listens there instead of what was
// wanted.
func speaks(begin []byte, wanted string) string {
	for _, p := range spoken {
		if bytes.HasPrefix(begin, []byte(p.begins)) {
			return "what listens there speaks " + p.name + ", not " + wanted
		}
	}
	if isHTTP2(begin) {
		return "what listens there speaks HTTP/2, not " + wanted
	}
	return "what listens there does not speak " + wanted
}

func (w *Way) noTLS(begin []byte) Finding {
	what := speaks(begin, "TLS")
	if w.Node {
		return Finding{NotTLS, what + ": start the relay with TLS, or correct the node's port"}
	}
	return Finding{NotTLS, what + ": write http://, or check the port"}
}

// noHTTP is about what came where an answer of HTTP should have.
func (w *Way) noHTTP(err error) (Finding, bool) {
	other, ok := errors.AsType[*client.NotHTTPError](err)
	if !ok {
		return Finding{}, false
	}
	what := speaks(other.Begin, "HTTP/1.1")
	switch {
	case w.Plain && bytes.HasPrefix(other.Begin, []byte(alertRecord)):
		return Finding{NotHTTP, what + ": write https://"}, true
	case isHTTP2(other.Begin):
		return Finding{NotHTTP, what + ": have what stands before the relay offer HTTP/1.1, too, since HTTP/2 knows no such upgrade"}, true
	case w.Node:
		return Finding{NotHTTP, what + ": correct the node's port"}, true
	case w.Map:
		return Finding{NotHTTP, what + ": is this the URL of a map, port included?"}, true
	}
	return Finding{NotHTTP, what + ": correct the port"}, true
}
