package derp

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestVectorClientInfo(t *testing.T) {
	v := loadVectors(t)
	for _, c := range v.ClientInfo {
		golden := unhex(t, c.Frame)
		typ, payload, _ := takeFrame(t, golden)
		peer, sealed, err := ParseClientInfo(payload)
		if typ != FrameClientInfo || err != nil || peer != v.public(t, c.From) {
			t.Errorf("%s: parsed as %v of %v, %v", c.Name, typ, peer, err)
			continue
		}
		info, err := OpenClientInfo(sealed, v.box(t, "server", c.From))
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if got := string(clientInfoJSON(info)); got != c.JSON {
			t.Errorf("%s: read and written again it is %s, want %s", c.Name, got, c.JSON)
		}
		// The nonce is random, so only what is around the box can be compared; the box itself is opened.
		frame := AppendClientInfo(nil, peer, v.box(t, c.From, "server"), info)
		if len(frame) != len(golden) || !bytes.Equal(frame[:HeaderLen+KeyLen], golden[:HeaderLen+KeyLen]) {
			t.Errorf("%s: appended %x, want the shape of %x", c.Name, frame, golden)
		}
		msg, ok := v.box(t, "server", c.From).Open(frame[HeaderLen+KeyLen:])
		if !ok || string(msg) != c.JSON {
			t.Errorf("%s: sealed %s, %v, want %s", c.Name, msg, ok, c.JSON)
		}
		if got := AppendServerKey(nil, v.public(t, "server")); !bytes.Equal(got, unhex(t, c.Greeting)) {
			t.Errorf("%s: greeting %x, want %s", c.Name, got, c.Greeting)
		}
		if got := string(mustMarshal(ServerInfo{Version: ProtocolVersion})); got != c.ServerInfoJSON {
			t.Errorf("%s: server info %s, want %s", c.Name, got, c.ServerInfoJSON)
		}
	}
}

func TestVectorClientBadFrames(t *testing.T) {
	v := loadVectors(t)
	for _, bad := range v.ClientBadFrames {
		if got := v.readAsPeer(t, unhex(t, bad.Frame)); got != bad.Result {
			t.Errorf("%s: %s, want %s", bad.Name, got, bad.Result)
		}
	}
}

// readAsPeer is what a peer does with a bad frame, as far as the limits and parse functions decide it.
func (v vectors) readAsPeer(t *testing.T, frame []byte) string {
	t.Helper()
	if _, n := ParseHeader(frame); n > MaxFrameToClient {
		return "fatal"
	}
	typ, payload, _ := takeFrame(t, frame)
	var err error
	switch typ {
	case FrameServerInfo:
		if _, err := OpenServerInfo(payload, v.box(t, "alice", "server")); err != nil {
			return "fatal"
		}
	case FrameRecvPacket:
		_, _, err = ParseRecvPacket(payload)
	case FramePeerGone:
		_, _, err = ParsePeerGone(payload)
	case FramePeerPresent:
		_, err = ParsePeerPresent(payload)
	case FramePing:
		_, err = ParsePing(payload)
	case FrameRestarting:
		_, _, err = ParseRestarting(payload)
	default:
		return "skipped"
	}
	if errors.Is(err, ErrLength) {
		return "skipped"
	}
	return fmt.Sprintf("taken, error %v", err)
}

func TestVectorServerBadLogin(t *testing.T) {
	v := loadVectors(t)
	for _, login := range v.ServerBadInput.Login {
		if err := v.readLogin(t, unhex(t, login.Frame)); (err == nil) != login.LoggedIn {
			t.Errorf("%s: error %v, want logged in: %v", login.Name, err, login.LoggedIn)
		}
	}
}

// readLogin is what a relay does with the first frame of a peer, as far as the limits and parse functions decide it.
func (v vectors) readLogin(t *testing.T, frame []byte) error {
	t.Helper()
	typ, n := ParseHeader(frame)
	if typ != FrameClientInfo || n < MinClientInfo || n > MaxClientInfo {
		return ErrLength
	}
	_, payload, _ := takeFrame(t, frame)
	peer, sealed, err := ParseClientInfo(payload)
	if err != nil {
		return err
	}
	private, _ := v.key(t, "server")
	box := private.Box(peer)
	_, err = OpenClientInfo(sealed, &box)
	return err
}

// The frames that close a peer's connection because of their length; what a peer may do is the relay's to decide.
func TestVectorServerBadLengths(t *testing.T) {
	v := loadVectors(t)
	for _, after := range v.ServerBadInput.AfterLogin {
		frame := unhex(t, after.Frame)
		refused := readAsRelay(frame) != nil
		forbidden := !after.Mesh && needsMeshKey(FrameType(frame[0]))
		if closed := refused || forbidden; closed != (after.Outcome == "closed") {
			t.Errorf("%s: refused %v, forbidden %v, but it %s", after.Name, refused, forbidden, after.Outcome)
		}
	}
}

func needsMeshKey(t FrameType) bool {
	return t == FrameForwardPacket || t == FrameWatchConns || t == FrameClosePeer
}

// readAsRelay parses a payload of the announced length, of which the vector may hold only the beginning.
func readAsRelay(frame []byte) error {
	typ, n := ParseHeader(frame)
	payload := make([]byte, n)
	copy(payload, frame[HeaderLen:])
	var err error
	switch typ {
	case FrameSendPacket:
		_, _, err = ParseSendPacket(payload)
	case FrameForwardPacket:
		_, _, _, err = ParseForwardPacket(payload)
	case FrameNotePreferred:
		_, err = ParseNotePreferred(payload)
	case FrameWatchConns:
		err = ParseWatchConns(payload)
	case FrameClosePeer:
		_, err = ParseClosePeer(payload)
	case FramePing:
		_, err = ParsePing(payload)
	}
	return err
}

func TestVectorDiscoClassifier(t *testing.T) {
	for _, v := range loadVectors(t).DiscoClassifier {
		if got := IsDisco(unhex(t, v.Packet)); got != v.Disco {
			t.Errorf("%s: %v, want %v", v.Name, got, v.Disco)
		}
	}
}
