//go:build unix

package coordnats

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/coordstore"
)

func TestOneDirectoryIsOneCoordinators(t *testing.T) {
	dir := t.TempDir()
	p := &process{config: Config{Dir: filepath.Join(dir, "one")}}
	p.start(t)
	p.await(t)
	if _, err := Open(t.Context(), p.config); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), p.config.Dir) {
		t.Errorf("opened beside another process: %v", err)
	}
	p.kill()
	openStore(t, p.config) // the lock of who was killed is none
}

func TestDirectoriesThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	foreign, damaged := filepath.Join(dir, "foreign"), filepath.Join(dir, "damaged")
	for path, text := range map[string]string{foreign + "/kind": "coordinator two of a cluster\n", damaged + "/ends": "x"} {
		os.MkdirAll(filepath.Dir(path), 0o700)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ path, want string }{
		"a file":              {file, "file"},
		"below a file":        {filepath.Join(file, "below"), "file"},
		"of another kind":     {foreign, "coordinator two of a cluster, not of one coordinator alone"},
		"damaged by somebody": {damaged, "ends is damaged"},
	} {
		s, err := Open(t.Context(), Config{Dir: c.path})
		if err == nil {
			s.Close()
			t.Errorf("%s: it was opened", name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q in it", name, err, c.want)
		}
	}
}

// What was acknowledged is there after a kill, and after a clean end. The hard
// bucket's history goes on in both; that of the others is another one after a kill,
// as they may have lost their end.
func TestHardStateSurvivesAKill(t *testing.T) {
	p := &process{config: Config{Dir: filepath.Join(t.TempDir(), "one")}}
	p.start(t)
	p.await(t)
	s := p.store(t)
	stands := map[string]uint64{}
	for n := range 50 {
		stands[key(n)] = insist(t, s, coordstore.Hard, key(n))
	}
	p.kill()
	s.Close()

	killed := openStore(t, p.config)
	hard, soft := follow(t, killed, coordstore.Hard), follow(t, killed, coordstore.Soft(0))
	awaitAll(t, hard, stands)
	if got := len(hard.Values()); got != len(stands) {
		t.Errorf("%d values are there, want %d", got, len(stands))
	}
	hardEpoch, softEpoch := hard.Epoch(), soft.Epoch()
	if !strings.HasSuffix(softEpoch, ".1") {
		t.Errorf("the epoch of a soft bucket after a kill is %q", softEpoch)
	}
	killed.Close()

	again := openStore(t, p.config)
	for bucket, want := range map[string]string{coordstore.Hard: hardEpoch, coordstore.Soft(0): softEpoch} {
		if got := follow(t, again, bucket).Epoch(); got != want {
			t.Errorf("after a clean end the epoch of %s is %q, want %q", bucket, got, want)
		}
	}
}

// The engine removes what is left of a delete, and who comes later sees the same.
func TestDeletesEnd(t *testing.T) {
	s := openStore(t, Config{Dir: t.TempDir()})
	revision := insist(t, s, coordstore.Hard, "a")
	if _, err := s.Delete(t.Context(), coordstore.Hard, "a", revision); err != nil {
		t.Fatal(err)
	}
	left, err := s.standing(t.Context(), coordstore.Hard, "a")
	if err != nil || left == nil {
		t.Fatalf("%v, %v", left, err)
	}
	if got := left.Header.Get("Nats-TTL"); got != coordstore.DeletesKept.String() {
		t.Errorf("what is left of a delete ends after %q, want %v", got, coordstore.DeletesKept)
	}
	if err := s.purge(t, coordstore.Hard, "a"); err != nil {
		t.Fatal(err)
	}
	// The last revision is not there any more: a watcher is current all the same.
	if got := follow(t, s, coordstore.Hard).Values(); len(got) != 0 {
		t.Errorf("%v stands there", got)
	}
	if insist(t, s, coordstore.Hard, "a") <= revision {
		t.Error("the revision did not grow")
	}
}
