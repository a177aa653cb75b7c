package coordstate

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
)

// A Cursor is how much of a tailnet somebody has seen. Epochs and the version of the
// map are hashes of them.
type Cursor struct {
	Tailnet   uint32 // hash of its ID
	HardEpoch uint64
	Hard      uint64
	SoftEpoch uint64
	Soft      uint64
	Map       uint64
}

const cursorVersion = 1

func hash64(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

func hash32(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}

// Text is the cursor as members keep it.
func (c Cursor) Text() string {
	b := make([]byte, 0, 64)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint32(b, c.Tailnet)
	b = binary.BigEndian.AppendUint64(b, c.HardEpoch)
	b = binary.BigEndian.AppendUint64(b, c.SoftEpoch)
	b = binary.BigEndian.AppendUint64(b, c.Map)
	b = binary.AppendUvarint(b, c.Hard)
	b = binary.AppendUvarint(b, c.Soft)
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what Text has written. What it cannot read is the cursor of
// somebody who has seen nothing.
func ParseCursor(text string) (c Cursor, ok bool) {
	if len(text) > 128 {
		return c, false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 31 || b[0] != cursorVersion {
		return c, false
	}
	c.Tailnet = binary.BigEndian.Uint32(b[1:])
	c.HardEpoch = binary.BigEndian.Uint64(b[5:])
	c.SoftEpoch = binary.BigEndian.Uint64(b[13:])
	c.Map = binary.BigEndian.Uint64(b[21:])
	n, m := 0, 0
	b = b[29:]
	if c.Hard, n = binary.Uvarint(b); n <= 0 {
		return Cursor{}, false
	}
	if c.Soft, m = binary.Uvarint(b[n:]); m <= 0 || n+m != len(b) {
		return Cursor{}, false
	}
	return c, true
}
