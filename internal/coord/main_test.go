package coord

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv("DETOUR_STREAM_PEERS"); addr != "" {
		runPeers(addr)
		return
	}
	goleak.VerifyTestMain(m)
}
