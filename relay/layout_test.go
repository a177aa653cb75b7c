//go:build amd64 || arm64

package relay

import (
	"testing"
	"unsafe"
)

// cacheLine is what processors take from each other at once.
const cacheLine = 64

// line is the line of the cache in which something begins.
func line[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) / cacheLine }

// What the reader of a conn needs for each packet lies in no line of the cache that those
// write who send to the conn: its outbox.
func TestReaderAndSendersShareNoLine(t *testing.T) {
	c, _ := join(newTestServer(t, Config{}), numbered(1)) // on the heap, where conns lie in the same way
	first, last := line(&c.out.mu), line(&c.out.blockedAt)
	for name, at := range map[string]uintptr{
		"server":    line(&c.server),
		"stream":    line(&c.stream),
		"key":       line(&c.key),
		"sibling":   line(&c.sibling),
		"shared":    line(&c.shared),
		"group":     line(&c.group),
		"limits":    line(&c.limits),
		"dests":     line(&c.dests),
		"skip":      line(&c.skip),
		"idle":      line(&c.idle),
		"usedAt":    line(&c.usedAt),
		"packets":   line(&c.packets),
		"duplicate": line(&c.duplicate),
	} {
		if first <= at && at <= last {
			t.Errorf("%s lies in line %d of the conn, and the outbox in %d to %d", name, at-line(c), first-line(c), last-line(c))
		}
	}
}
