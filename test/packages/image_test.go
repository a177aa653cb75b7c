package packages

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The image that "docker load" takes is unpacked and run as it says. What registries get has
// the same files (tools/release).
func TestImage(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	untar(t, only(t, now, "*-image-linux-*.tar"), filepath.Join(dir, "image"))
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	read(t, filepath.Join(dir, "image", "manifest.json"), &manifest)
	if len(manifest) != 1 || len(manifest[0].Layers) != 1 || len(manifest[0].RepoTags) != 1 || !strings.HasPrefix(manifest[0].RepoTags[0], "detour:v") {
		t.Fatalf("%+v", manifest)
	}
	untar(t, filepath.Join(dir, "image", manifest[0].Layers[0]), root)
	var config struct {
		Config struct {
			User, WorkingDir     string
			Env, Entrypoint, Cmd []string
			Healthcheck          struct{ Test []string }
		}
	}
	read(t, filepath.Join(dir, "image", manifest[0].Config), &config)
	c := config.Config
	if len(c.Healthcheck.Test) < 2 || c.Healthcheck.Test[0] != "CMD" {
		t.Fatalf("%+v", c)
	}
	t.Setenv("user", c.User)
	t.Setenv("environment", strings.Join(c.Env, " "))
	t.Setenv("start", strings.Join(append(c.Entrypoint, c.Cmd...), " "))
	t.Setenv("health", strings.Join(c.Healthcheck.Test[1:], " "))
	out := script(t, "image.sh", root)
	for _, want := range []string{"\nready\n", ", 0 failed, ", "\n== all is well\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

// The image is not larger than a person waits for.
func TestImageIsSmall(t *testing.T) {
	const most = 15e6
	info, err := os.Stat(only(t, now, "*-image.oci.tar"))
	if err != nil || info.Size() > most {
		t.Errorf("%+v (%v), want at most %v bytes", info, err, int64(most))
	}
}

func untar(t *testing.T, file, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "--extract", "--same-owner", "--same-permissions", "--file", file, "--directory", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
