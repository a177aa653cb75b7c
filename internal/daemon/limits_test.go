package daemon

import "testing"

// What the setting says reaches the door: one comes in, and nobody after him. Own
// connections have some room beyond the limit, for the self-check.
func TestMaxConnsBoundsWhoComesIn(t *testing.T) {
	c := plain()
	c.MaxConns = 1
	d := open(t, c, Options{})
	run(t, d)
	if d.State().Health.Full {
		t.Error("it says that it is full before anybody has come")
	}
	for in := 0; ; in++ {
		conn, err := login(t, d)
		if err != nil {
			now := d.State().Health
			if in == 0 || !now.Full || !now.Healthy || d.edge.Snapshot().Full == 0 {
				t.Errorf("%d came in, then %v: %+v, %+v", in, err, now, d.edge.Snapshot())
			}
			return
		}
		defer conn.Close()
		if in > 100 {
			t.Fatal("everybody comes in")
		}
	}
}
