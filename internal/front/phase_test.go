package front

import "testing"

func TestALifeOnlyMovesForward(t *testing.T) {
	var l Life
	if p := l.Phase(); p != Opened {
		t.Errorf("it begins %s", p)
	}
	for _, step := range []struct{ enter, before, after Phase }{
		{Serving, Opened, Serving}, {Serving, Serving, Serving}, {Stopped, Serving, Stopped}, {Draining, Stopped, Stopped}, {Opened, Stopped, Stopped},
	} {
		if before := l.Enter(step.enter); before != step.before || l.Phase() != step.after {
			t.Errorf("enter %s: from %s to %s, want from %s to %s", step.enter, before, l.Phase(), step.before, step.after)
		}
	}
	if !Draining.Reached(Draining) || Serving.Reached(Draining) {
		t.Error("the order is not theirs")
	}
}
