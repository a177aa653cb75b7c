package twin

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A process that takes nothing over has nobody to follow.
func TestNobodyToFollow(t *testing.T) {
	l := New(nil, nil)
	if err := l.Follow(t.Context()); err != nil {
		t.Error(err)
	}
	l.Wait()
}
