package derp

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/detour-relay/detour/key"
)

// The reasons to refuse a login frame, besides ErrLength.
var (
	ErrMagic   = errors.New("derp: not the greeting of a relay")
	ErrZeroKey = errors.New("derp: the key in the login is all zeros")
	ErrWeakKey = errors.New("derp: the key in the login is none that a private key leads to")
	ErrBox     = errors.New("derp: the box in the login does not open")
	ErrJSON    = errors.New("derp: the box in the login holds no valid JSON object")
	ErrAppName = errors.New("derp: the application name in the login is longer than 32 bytes or not printable ASCII")
)

// AppendServerKey appends the greeting of a relay.
func AppendServerKey(b []byte, relay key.Public) []byte {
	b = AppendHeader(b, FrameServerKey, len(Magic)+KeyLen)
	b = append(b, Magic...)
	return append(b, relay[:]...)
}

// ParseServerKey reads the greeting of a relay. Bytes after the key are ignored.
func ParseServerKey(payload []byte) (relay key.Public, err error) {
	if len(payload) < len(Magic)+KeyLen {
		return relay, ErrLength
	}
	if string(payload[:len(Magic)]) != Magic {
		return relay, ErrMagic
	}
	relay = key.Public(payload[len(Magic):])
	if relay.IsZero() {
		return relay, ErrZeroKey
	}
	return relay, nil
}

// ReadGreeting reads the greeting of a relay, the first frame on every connection. An
// input that ends before is io.ErrUnexpectedEOF; an error about what the input says
// is ErrMagic, ErrZeroKey or ErrLength.
func ReadGreeting(r io.Reader) (relay key.Public, err error) {
	var header [HeaderLen]byte
	if err := readFull(r, header[:]); err != nil {
		return relay, err
	}
	frame, n := ParseHeader(header[:])
	switch {
	case frame != FrameServerKey:
		return relay, ErrMagic
	case n > MaxGreeting:
		return relay, ErrLength
	}
	payload := make([]byte, n)
	if err := readFull(r, payload); err != nil {
		return relay, err
	}
	return ParseServerKey(payload)
}

func readFull(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// ClientInfo is what a peer says about itself in its login.
type ClientInfo struct {
	MeshKey     key.Mesh // asks for the rights of a sibling; zero: does not
	Version     int      // protocol version; relays accept any
	CanAckPings bool     // answers Pings
	IsProber    bool     // is a monitoring program
	AppName     string   // free text for statistics, see ValidAppName
}

// The two JSON forms of ClientInfo differ in the mesh key: it is a secret that is written in this one place only.
type clientInfoWritten struct {
	MeshKey     string `json:"meshKey,omitempty"`
	Version     int    `json:"version,omitempty"`
	CanAckPings bool
	IsProber    bool   `json:",omitempty"`
	AppName     string `json:",omitempty"`
}

type clientInfoRead struct {
	MeshKey     key.Mesh `json:"meshKey"`
	Version     int      `json:"version"`
	CanAckPings bool
	IsProber    bool
	AppName     string
}

// AppendClientInfo appends the login of the peer with the public key self. The box is between it and the relay.
func AppendClientInfo(b []byte, self key.Public, box *key.Box, info ClientInfo) []byte {
	sealed := box.Seal(clientInfoJSON(info))
	return appendKeyed(b, FrameClientInfo, &self, sealed)
}

func clientInfoJSON(info ClientInfo) []byte {
	written := clientInfoWritten{
		Version: info.Version, CanAckPings: info.CanAckPings, IsProber: info.IsProber, AppName: info.AppName,
	}
	if !info.MeshKey.IsZero() {
		written.MeshKey = info.MeshKey.Text()
	}
	return mustMarshal(written)
}

// ParseClientInfo takes a login apart: the key that the peer claims to own, and the sealed rest, which aliases payload
// and proves the claim when it opens.
func ParseClientInfo(payload []byte) (peer key.Public, sealed []byte, err error) {
	if len(payload) < MinClientInfo || len(payload) > MaxClientInfo {
		return peer, nil, ErrLength
	}
	peer = key.Public(payload)
	if err := checkKey(peer); err != nil {
		return peer, nil, err
	}
	return peer, payload[KeyLen:], nil
}

// OpenClientInfo opens the sealed part of a login. Names of JSON members match in any case, unknown ones are ignored, and
// null stands for an empty object; a mesh key that is there but not 64 hex digits is an error.
func OpenClientInfo(sealed []byte, box *key.Box) (ClientInfo, error) {
	msg, ok := box.Open(sealed)
	if !ok {
		return ClientInfo{}, ErrBox
	}
	var info clientInfoRead
	if err := json.Unmarshal(msg, &info); err != nil {
		return ClientInfo{}, ErrJSON
	}
	if !ValidAppName(info.AppName) {
		return ClientInfo{}, ErrAppName
	}
	return ClientInfo(info), nil
}

const maxAppName = 32

// ValidAppName reports whether a login may carry this application name: at most 32 bytes of printable ASCII.
func ValidAppName(name string) bool {
	if len(name) > maxAppName {
		return false
	}
	for _, c := range []byte(name) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// ServerInfo is the relay's answer to a login; that it comes at all means that the peer is admitted. If
// TokenBucketBytesPerSecond is not zero, it asks the peer to send no faster.
type ServerInfo struct {
	Version                   int `json:"version,omitempty"`
	TokenBucketBytesPerSecond int `json:",omitempty"`
	TokenBucketBytesBurst     int `json:",omitempty"`
}

// AppendServerInfo appends the answer to a login. The box is between the relay and the peer.
func AppendServerInfo(b []byte, box *key.Box, info ServerInfo) []byte {
	sealed := box.Seal(mustMarshal(info))
	return append(AppendHeader(b, FrameServerInfo, len(sealed)), sealed...)
}

// OpenServerInfo reads the answer to a login.
func OpenServerInfo(payload []byte, box *key.Box) (ServerInfo, error) {
	msg, ok := box.Open(payload)
	if !ok {
		return ServerInfo{}, ErrBox
	}
	var info ServerInfo
	if err := json.Unmarshal(msg, &info); err != nil {
		return ServerInfo{}, ErrJSON
	}
	return info, nil
}

// mustMarshal is for structs of strings, numbers and booleans, which JSON can always express.
func mustMarshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
