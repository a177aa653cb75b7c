//go:build unix

package coordnats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coordstore"
)

// thatFills is set in a process that has no room for a while, to its directory.
const thatFills = "DETOUR_TEST_FILLS"

func init() {
	if dir := os.Getenv(thatFills); dir != "" {
		os.Exit(fillUp(dir))
	}
}

// A disk that is full for a while costs the writes of that while, and nothing else: no
// restart of the process is needed. The process has a limit of its own, so that it is
// another one.
func TestADiskThatWasFullIsUsedAgain(t *testing.T) {
	t.Parallel()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), thatFills+"="+filepath.Join(t.TempDir(), "one"))
	if said, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// fillUp is such a process.
func fillUp(dir string) int {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := Open(context.Background(), Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err == nil {
		err = errors.Join(fillAndFree(s), s.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func fillAndFree(s *Store) error {
	try := func(name string) (uint64, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return s.Create(ctx, coordstore.Hard, name, []byte("x"))
	}
	before, err := try("before")
	if err != nil {
		return err
	}
	var room syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		return err
	}
	none := room
	none.Cur = 1
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &none); err != nil {
		return err
	}
	for n := 0; s.State().Writable; n++ {
		if _, err := try(fmt.Sprintf("full-%d", n)); !errors.Is(err, coordstore.ErrUnavailable) {
			return fmt.Errorf("a write to a disk that is full: %w", err)
		}
	}
	if why := s.State().Reason; !strings.Contains(why, "refused a write") {
		return fmt.Errorf("the state says %q", why)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		return err
	}
	for {
		after, err := try("after")
		if errors.Is(err, coordstore.ErrUnavailable) {
			time.Sleep(100 * time.Millisecond) // it is refused at once
			continue
		}
		if m, old := s.standing(context.Background(), coordstore.Hard, "before"); err == nil && (old != nil || m == nil || m.Sequence != before || after <= before) {
			err = fmt.Errorf("what was written before: %v, %w", m, old)
		}
		return err
	}
}

// A directory that has lost the bucket of the members is not taken for a new one: all
// would be told that they are no members any more.
func TestALostBucketIsNotMadeAnew(t *testing.T) {
	c := Config{Dir: t.TempDir()}
	s := openStore(t, c)
	insist(t, s, coordstore.Hard, "a")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	meta, _ := filepath.Glob(filepath.Join(c.Dir, "nats", "jetstream", "*", "streams", streamOf(coordstore.Hard), "meta.inf"))
	if len(meta) != 1 || os.WriteFile(meta[0], []byte("damaged"), 0o600) != nil {
		t.Fatal("the engine keeps its buckets elsewhere now: ", meta)
	}
	c.Logger = logTo(t)
	again, err := Open(t.Context(), c)
	if err == nil {
		again.Close()
		t.Fatal("it was opened, and is empty")
	}
	if !strings.Contains(err.Error(), "is damaged") || !strings.Contains(err.Error(), c.Dir) {
		t.Errorf("%v", err)
	}
}
