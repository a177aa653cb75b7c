package relay

import (
	"testing"
	"unsafe"
)

// What a lookup reads of a route lies in one cache line.
func TestRouteIsAligned(t *testing.T) {
	if size := unsafe.Sizeof(route{}); size != 128 {
		t.Errorf("a route has %d bytes, want 128", size)
	}
}
