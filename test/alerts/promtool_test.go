package alerts

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// promtool runs it, and fails if it finds anything, or says anything where it should be
// silent.
func promtool(t *testing.T, input io.Reader, silent bool, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir, cmd.Stdin = dist, input
	said, err := cmd.CombinedOutput()
	if err != nil || silent && len(said) > 0 {
		t.Errorf("promtool %q: %v\n%s", args, err, said)
	}
}

func TestPromtoolPassesTheRules(t *testing.T) {
	promtool(t, nil, false, "check", "rules", "alerts.yml")
	promtool(t, nil, false, "test", "rules", "alerts_test.yml")
}

// startTime is how long a server may take to say where its metrics are.
const startTime = time.Minute

var said = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/metrics`)

// What a real relay and a real coordinator answer is as Prometheus wants it.
func TestPromtoolFindsNothingInRealScrapes(t *testing.T) {
	program := filepath.Join(t.TempDir(), "detour")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/detour")
	build.Dir = "../.."
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, name := range []string{"relay", "coord"} {
		t.Run(name, func(t *testing.T) {
			url := start(t, program, name, "--dev", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
			answer, err := http.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			page, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("\ndetour_scrapes_total 0\n")) {
				t.Fatalf("%d, %v: %s", answer.StatusCode, err, page)
			}
			promtool(t, bytes.NewReader(page), true, "check", "metrics")
		})
	}
}

// start runs a server until the test ends, and returns where its metrics are.
func start(t *testing.T, program string, args ...string) (url string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+cmd.Dir) // the machine's is for others
	banner, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(startTime, func() { cmd.Process.Kill() })
		defer kill.Stop()
		cmd.Wait()
	})
	silent := time.AfterFunc(startTime, func() { cmd.Process.Kill() })
	defer silent.Stop()
	for lines := bufio.NewScanner(banner); lines.Scan(); {
		if url = said.FindString(lines.Text()); url != "" {
			go io.Copy(io.Discard, banner)
			return url
		}
	}
	t.Fatalf("%q ended, or said nothing of metrics", args)
	return ""
}
