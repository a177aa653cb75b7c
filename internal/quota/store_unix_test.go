//go:build unix

package quota

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A count that cannot be read for a while is neither replaced nor put aside, and counts
// once it can be.
func TestCountThatCannotBeReadNow(t *testing.T) {
	inBubble(t, func(t *testing.T, path string) {
		d := sit(t, path, settings(1000, 2000))
		d.use(100)
		d.end()
		away := filepath.Join(t.TempDir(), "away")
		if err := os.Rename(path, away); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, path); err != nil { // a link to itself: the system refuses
			t.Fatal(err)
		}
		d = sit(t, path, settings(1000, 2000))
		d.use(50)
		time.Sleep(5 * time.Minute)
		d.want(t, Below, 50)
		if s := d.Snapshot(); !strings.Contains(s.Error, "stays as it is") || strings.Count(d.logged(), "goes on in memory") != 1 {
			t.Errorf("%+v: %s", s, d.logged())
		}
		if err := os.Rename(away, path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(saveEvery + look)
		d.want(t, Below, 150)
		if s := d.Snapshot(); s.Error != "" {
			t.Errorf("%+v", s)
		}
	})
}
