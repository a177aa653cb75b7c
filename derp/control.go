package derp

import (
	"encoding/binary"
	"math"
	"time"
)

// AppendKeepAlive appends the sign of life of a relay. It has no payload and no answer.
func AppendKeepAlive(b []byte) []byte { return AppendHeader(b, FrameKeepAlive, 0) }

// AppendPing appends a Ping, which the other side answers with a Pong of the same data.
func AppendPing(b []byte, data [PingLen]byte) []byte {
	return append(AppendHeader(b, FramePing, PingLen), data[:]...)
}

// ParsePing reads the payload of a Ping frame. Up to MaxPing bytes are tolerated, and all but the first eight ignored.
func ParsePing(payload []byte) (data [PingLen]byte, err error) {
	if len(payload) < PingLen || len(payload) > MaxPing {
		return data, ErrLength
	}
	return [PingLen]byte(payload), nil
}

// AppendPong appends the answer to a Ping.
func AppendPong(b []byte, data [PingLen]byte) []byte {
	return append(AppendHeader(b, FramePong, PingLen), data[:]...)
}

// ParsePong reads the payload of a Pong frame. Bytes after the first eight are ignored.
func ParsePong(payload []byte) (data [PingLen]byte, err error) {
	if len(payload) < PingLen {
		return data, ErrLength
	}
	return [PingLen]byte(payload), nil
}

// AppendHealth appends the text of a problem that the user of the peer should know of; an empty text takes it back.
func AppendHealth(b []byte, problem string) []byte {
	return append(AppendHeader(b, FrameHealth, len(problem)), problem...)
}

// ParseHealth reads the payload of a Health frame, all of which is text. There are no wrong ones.
func ParseHealth(payload []byte) (problem string) { return string(payload) }

const restartingLen = 8

// AppendRestarting appends the announcement that the relay goes down: when to connect again, and how long to keep trying
// before that counts as a failure. Both travel in milliseconds of 32 bits and are cut to that.
func AppendRestarting(b []byte, reconnectIn, tryFor time.Duration) []byte {
	b = AppendHeader(b, FrameRestarting, restartingLen)
	b = binary.BigEndian.AppendUint32(b, wireMillis(reconnectIn))
	return binary.BigEndian.AppendUint32(b, wireMillis(tryFor))
}

func wireMillis(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 0), math.MaxUint32))
}

// ParseRestarting reads the payload of a Restarting frame. Bytes after the first eight are ignored.
func ParseRestarting(payload []byte) (reconnectIn, tryFor time.Duration, err error) {
	if len(payload) < restartingLen {
		return 0, 0, ErrLength
	}
	return parseMillis(payload), parseMillis(payload[4:]), nil
}

func parseMillis(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Millisecond
}
