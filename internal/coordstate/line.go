package coordstate

import (
	"net/netip"
	"strconv"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// The lines of a stream, as json.Marshal writes a coordapi.Event; a test compares.

const (
	openPeer = `{"type":"peer"` // as long as openSelf
	openSelf = `{"type":"self"`
)

func (m *member) peer() coordapi.Peer {
	return coordapi.Peer{Key: m.key, Name: m.name, Addresses: m.net.rec.Addresses(m.index), Home: int(m.home), Disco: m.disco}
}

// appendPeer appends the line that tells of a member. Its name is a label.
func appendPeer(b []byte, m *member) []byte {
	b = append(b, openPeer+`,"peer":{"key":"`...)
	b, _ = m.key.AppendText(b)
	b = append(append(b, `","name":"`...), m.name...)
	b = append(b, `","addresses":["`...)
	for i, a := range m.net.rec.Addresses(m.index) {
		if i > 0 {
			b = append(b, `","`...)
		}
		b = netip.Addr.AppendTo(a, b)
	}
	b = append(b, `"]`...)
	if m.home != 0 {
		b = strconv.AppendInt(append(b, `,"home":`...), int64(m.home), 10)
	}
	if !m.disco.IsZero() {
		b = append(b, `,"disco":"`...)
		b, _ = m.disco.AppendText(b)
		b = append(b, '"')
	}
	return append(b, "}}\n"...)
}

// asSelf is a line of appendPeer for the member itself.
func asSelf(line []byte) [][]byte { return [][]byte{[]byte(openSelf), line[len(openPeer):]} }

func goneLine(k key.Public) []byte {
	b := append(make([]byte, 0, 128), `{"type":"gone","key":"`...)
	b, _ = k.AppendText(b)
	return append(b, "\"}\n"...)
}

func atLine(cursor string) []byte {
	return []byte(`{"type":"at","cursor":"` + cursor + "\"}\n")
}

func mapLine(text []byte) []byte {
	b := append(make([]byte, 0, len(text)+32), `{"type":"map","map":`...)
	return append(append(b, text...), "}\n"...)
}

func startLine(kind string, stale bool) []byte {
	if stale {
		return []byte(`{"type":"` + kind + `","stale":true}` + "\n")
	}
	return []byte(`{"type":"` + kind + `"}` + "\n")
}
