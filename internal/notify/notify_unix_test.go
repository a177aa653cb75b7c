//go:build unix

package notify

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var states = map[string]struct {
	tell func(*slog.Logger)
	want string
}{
	"ready":     {Ready, `^READY=1$`},
	"takeover":  {Takeover, fmt.Sprintf(`^MAINPID=%d\nREADY=1$`, os.Getpid())},
	"reloading": {Reloading, `^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*\n?$`},
	"stopping":  {Stopping, `^STOPPING=1$`},
}

// Each state is one message, as sd_notify(3) has it.
func TestStatesAreTold(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify") // t.TempDir has a name that may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	at := filepath.Join(dir, "s")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", at)
	for name, state := range states {
		var log bytes.Buffer
		state.tell(slog.New(slog.NewTextHandler(&log, nil)))
		got := make([]byte, 1000)
		n, err := manager.Read(got)
		if err != nil || !regexp.MustCompile(state.want).Match(got[:n]) || log.Len() > 0 {
			t.Errorf("%s: %q, %v, want %s; log: %s", name, got[:n], err, state.want, &log)
		}
	}
}

// Without a service manager nothing happens; one that cannot be told is worth a
// warning, and no more.
func TestWithoutServiceManager(t *testing.T) {
	for socket, want := range map[string]string{
		"":                                   "",
		filepath.Join(t.TempDir(), "nobody"): "level=WARN msg=\"cannot tell the service manager of the state\" reason=",
	} {
		t.Setenv("NOTIFY_SOCKET", socket)
		for name, state := range states {
			var log bytes.Buffer
			state.tell(slog.New(slog.NewTextHandler(&log, nil)))
			if text := log.String(); strings.Contains(text, "level=") != (want != "") || !strings.Contains(text, want) {
				t.Errorf("%s to %q: %q, want %q", name, socket, text, want)
			}
		}
	}
}
