package edge

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// serveDERP upgrades a request to DERP. Neither the method nor the Connection
// header matters (spec 1.4).
func (s *Server) serveDERP(w http.ResponseWriter, r *http.Request) {
	if s.config.NoDERP {
		s.count.refused.Add(1)
		http.Error(w, reach.WordNoRelay+": it answers STUN and probes only", http.StatusNotFound)
		return
	}
	if s.draining.Load() {
		s.count.sentAway.Add(1)
		sendAway(w)
		return
	}
	switch strings.ToLower(r.Header.Get("Upgrade")) {
	case "derp":
		s.bring(w, r, s.upgrade)
	case "websocket":
		switch {
		case wantsWebSocket(r):
			s.bring(w, r, s.upgradeWebSocket)
		case r.Header.Get("Sec-WebSocket-Key") != "": // no DERP client sends that without the other
			s.count.refused.Add(1)
			refuseWebSocket(w, r)
		default:
			s.bring(w, r, s.upgrade) // an old spelling of the same
		}
	default:
		s.count.refused.Add(1)
		refuseUpgrade(w, r)
	}
}

// upgrade takes the connection away from net/http, with the bytes it had read
// ahead (often the peer's login), and gives it to the relay. The answer is only
// staged, so that it leaves in one segment with the relay's greeting.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, addr netip.AddrPort) {
	fastStart := r.Header.Get("Derp-Fast-Start") == "1"
	ideal := idealNode(r)
	reply := s.reply
	if token := r.Header.Get("Upgrade"); !strings.EqualFold(token, "derp") && isForwarded(r) {
		reply = switchingReply(token, s.config.Relay.PublicKey())
	}

	conn, buffered, err := takeOver(w)
	if err != nil {
		http.Error(w, "this connection cannot be taken over", http.StatusInternalServerError)
		return
	}
	stream, err := s.newStream(conn, buffered)
	if err != nil {
		s.config.Logger.Warn("cannot take a connection over", "conn", conn.RemoteAddr(), "reason", err)
		s.drop(conn)
		return
	}
	from := relay.Origin{Addr: addr, IdealNode: ideal}
	if fastStart {
		s.count.fastStart.Add(1)
	} else {
		s.count.classic.Add(1)
		stream.Write(reply) // staging fails only on a closed stream, which Serve reports
	}
	s.start(stream, conn, from)
}

// isForwarded reports whether a proxy says that it stands in between. Strict ones
// compare what was asked for with what is answered; peers that ask directly get
// the answer they have always got.
func isForwarded(r *http.Request) bool {
	h := r.Header
	return h.Get("X-Forwarded-For") != "" || h.Get("Forwarded") != "" || h.Get("Via") != ""
}

// maxIdealNode bounds the name of a node. Those of DERP maps have a few letters.
const maxIdealNode = 64

// idealNode returns the node that the peer would rather be on, and "" if it is
// on that one (spec 1.8). A name that could not be one is kept as "?": what
// counts then is that there is another.
func idealNode(r *http.Request) string {
	name := r.Header.Get("Ideal-Node")
	if len(name) > maxIdealNode {
		return "?"
	}
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' {
			return "?"
		}
	}
	return strings.Clone(name) // the request's buffer need not live as long
}

// takeOver detaches a connection from net/http. buffered belongs to net/http
// and is valid until the handler returns.
func takeOver(w http.ResponseWriter) (conn net.Conn, buffered []byte, err error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	buffered, err = rw.Reader.Peek(rw.Reader.Buffered())
	return conn, buffered, err
}

// newStream turns a connection into what the relay reads and writes.
func (s *Server) newStream(conn net.Conn, buffered []byte) (relay.Stream, error) {
	t, ok := conn.(*tls.Conn)
	if !ok {
		return s.config.Loops.TCP(conn, buffered)
	}
	wire, ok := t.NetConn().(*netio.Wire)
	if !ok {
		return nil, fmt.Errorf("TLS over %T instead of a wire", t.NetConn())
	}
	return s.config.Loops.TLS(t, wire, buffered)
}

// switchingReply is the answer to a classic upgrade, byte for byte (spec 1.4).
// token is how the peer called the protocol: DERP, or websocket as a few do.
func switchingReply(token string, public key.Public) []byte {
	return []byte("HTTP/1.1 101 Switching Protocols\r\n" +
		"Upgrade: " + token + "\r\n" +
		"Connection: Upgrade\r\n" +
		"Derp-Version: " + strconv.Itoa(derp.ProtocolVersion) + "\r\n" +
		"Derp-Public-Key: " + public.Hex() + "\r\n" +
		"\r\n")
}

// sendAway tells a peer that got in just before the relay stopped accepting to
// try again: it reaches another node, or the process that takes over.
func sendAway(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Connection", "close")
	http.Error(w, reach.WordStopping+"; try again, here or at another node of the region", http.StatusServiceUnavailable)
}

// refuseUpgrade says which header is missing or wrong, because the usual cause
// is a proxy in between that removed or rewrote it.
func refuseUpgrade(w http.ResponseWriter, r *http.Request) {
	found := "this request has no Upgrade header"
	if got := r.Header.Values("Upgrade"); len(got) > 0 {
		found = fmt.Sprintf("this request has Upgrade: %.100q", strings.Join(got, ", "))
	}
	w.Header().Set("Upgrade", "DERP")
	w.Header().Set("Connection", "Upgrade")
	http.Error(w, found+`; a DERP connection needs "Upgrade: DERP", or "Upgrade: websocket" and `+
		`"Sec-WebSocket-Protocol: derp". If the peer sent it, a proxy on the way removed or changed it.`, http.StatusUpgradeRequired)
}

// refuseWebSocket says what a WebSocket handshake lacks to carry DERP. To be taken
// for the old spelling of DERP would give the client an answer it cannot use.
func refuseWebSocket(w http.ResponseWriter, r *http.Request) {
	found := "no Sec-WebSocket-Protocol header"
	if got := r.Header.Values("Sec-WebSocket-Protocol"); len(got) > 0 {
		found = fmt.Sprintf("Sec-WebSocket-Protocol: %.100q", strings.Join(got, ", "))
	}
	http.Error(w, "this WebSocket request has "+found+`; DERP needs "Sec-WebSocket-Protocol: derp". `+
		"If the client sent it, a proxy on the way removed or changed it.", http.StatusBadRequest)
}
