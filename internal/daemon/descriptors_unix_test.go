//go:build unix

package daemon

import (
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/detour-relay/detour/internal/config"
)

// A relay whose peers will find no descriptors says so at its start, with what to do.
func TestFewDescriptorsAreSaidAtTheStart(t *testing.T) {
	const warning = "may open few files and sockets"
	for _, test := range []struct {
		limit int
		dev   bool
		warns bool
	}{
		{limit: 256, warns: true},
		{limit: 1024, warns: true},
		{limit: fewDescriptors - 1, warns: true},
		{limit: fewDescriptors},
		{limit: 1024, dev: true}, // for trying things out it is enough
	} {
		t.Run(fmt.Sprint(test.limit, test.dev), func(t *testing.T) {
			allow(t, test.limit)
			var log lines
			c := plain()
			if c.Dev = test.dev; !test.dev {
				c.TLS.Mode, c.StateDir = config.TLSOff, t.TempDir()
			}
			d := open(t, c, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			text := log.String()
			if strings.Contains(text, warning) != test.warns {
				t.Errorf("warned of %d: %v, want %v: %s", test.limit, !test.warns, test.warns, text)
			}
			for _, want := range []string{"level=WARN", fmt.Sprintf("limit=%d", test.limit), "remedy=", "LimitNOFILE=", "ulimit -n"} {
				if test.warns && !strings.Contains(text, want) {
					t.Errorf("no %s in %s", want, text)
				}
			}
			if got := d.State().Descriptors; got.Limit != uint64(test.limit) || got.Few != (test.limit < fewDescriptors) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// allow lets this process have so many descriptors until the test ends.
func allow(t *testing.T, limit int) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	after := before
	switch cur := any(&after.Cur).(type) { // its type is the system's choice
	case *uint64:
		*cur = uint64(limit)
	case *int64:
		*cur = int64(limit)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &after); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
}
