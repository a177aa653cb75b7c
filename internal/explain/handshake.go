package explain

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// handshake is about TLS itself, certificates aside.
func (w *Way) handshake(err error) (Finding, bool) {
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return w.noTLS(header.RecordHeader[:]), true
	}
	op, isOp := errors.AsType[*net.OpError](err)
	if isOp && op.Op == "remote error" { // a TLS alert
		return Finding{TLSRefused, fmt.Sprintf("%s refuses the handshake: give it a certificate for %s, have it allow TLS 1.2 or 1.3, "+
			"and let it ask nobody for a certificate of his own", w.what(), w.Host)}, true
	}
	return Finding{}, false
}

// spoken are protocols by how what their servers say begins.
var spoken = []struct{ begins, name string }{
	{"HTTP", "plain HTTP"}, {"SSH-", "SSH"}, {"220", "a mail server's SMTP, or FTP"}, {"+OK", "POP3"}, {"* OK", "IMAP"},
	{"RFB", "VNC"}, {"<", "a page without HTTP"},
}

// noTLS tells by the first bytes what it is that listens there instead.
func (w *Way) noTLS(begin []byte) Finding {
	what := "what listens there does not speak TLS"
	for _, p := range spoken {
		if bytes.HasPrefix(begin, []byte(p.begins)) {
			what = "what listens there speaks " + p.name + ", not TLS"
			break
		}
	}
	if w.Node {
		return Finding{NotTLS, what + ": start the relay with TLS, or correct the node's port"}
	}
	return Finding{NotTLS, what + ": write http://, or check the port"}
}
