package membercmd

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/control"
)

// answerAt is an up beside a state file, as far as who looks for one sees.
func answerAt(t *testing.T, stateFile string) {
	t.Helper()
	socket, err := control.ListenSocket(socketOf(stateFile), false)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "{}")
	})}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(socket) }()
	t.Cleanup(func() { server.Close(); socket.Close(); <-done })
}

// The up that runs is found, and where that is not clear it is said what there is.
func TestRunningState(t *testing.T) {
	dir, err := os.MkdirTemp("", "m") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("STATE_DIRECTORY", dir)
	t.Setenv("SUDO_USER", "")
	find := func(given, want, wrong string) {
		t.Helper()
		got, err := runningState(t.Context(), given)
		if wrong == "" && (err != nil || got != want) || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("%q, %v; want %q, %q", got, err, want, wrong)
		}
	}
	find("x.json", "x.json", "")
	find("", "", `this machine is no member yet`)
	one, two := filepath.Join(dir, "member-one.json"), filepath.Join(dir, "pair.json")
	for _, path := range []string{one, two, one + ".lock"} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	find("", "", `no "detour up" runs with `+one+" or "+two)
	answerAt(t, two)
	find("", two, "")
	answerAt(t, one)
	find("", "", "several run: choose one")
	_, err = runningState(t.Context(), "")
	if choice, ok := err.(*cli.Choice); !ok || strings.Join(choice.Ways, " ") != "--state "+one+" --state "+two {
		t.Errorf("%#v", err)
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(dir, 0); err != nil {
			t.Fatal(err)
		}
		find("", "", "ask as root (sudo): "+dir+" is not for others")
	}
}

func TestHomeOf(t *testing.T) {
	if homeOf("") != "" || homeOf("nobody-of-that-name") != "" || homeOf("root") == "" {
		t.Errorf("%q, %q, %q", homeOf(""), homeOf("nobody-of-that-name"), homeOf("root"))
	}
}
