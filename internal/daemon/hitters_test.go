package daemon

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/hitters"
)

// Who uses most is shown, whether they are still there or not.
func TestStatusShowsWhoUsesMost(t *testing.T) {
	c := plain()
	c.Admin, c.SelfCheck = "127.0.0.1:0", config.CheckDirect
	d := open(t, c, Options{})
	run(t, d)
	stays, err := login(t, d)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	leaves, err := login(t, d)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the self-check, which is not shown, is over", func() bool { return d.State().Health.SelfCheck.Checks > 0 })
	from := d.Counters().Received.Other.Packets
	spend(t, stays, 20)
	spend(t, leaves, 30)
	eventually(t, "all has come in", func() bool { return d.Counters().Received.Other.Packets >= from+50 })
	leaves.Close()
	var day hitters.Window
	eventually(t, "both are shown", func() bool {
		code, text := ask(t, http.MethodGet, "http://"+d.State().Admin+"/status", "")
		var s admin.Status
		if err := json.Unmarshal([]byte(text), &s); err != nil || code != http.StatusOK || s.Hitters == nil {
			t.Fatalf("%d %v: %s", code, err, text)
		}
		day = s.Hitters.Windows[2]
		return len(day.Keys.Top) == 2
	})
	first, second := day.Keys.Top[0], day.Keys.Top[1]
	if first.Received.Bytes != 30_000 || second.Received.Bytes != 20_000 || first.Missed != 0 || day.Total.Bytes() != 50_000 {
		t.Errorf("%+v", day)
	}
	if n := day.Networks.Top; len(n) != 1 || n[0].Name != "127.0.0.0/24" || n[0].Bytes() != 50_000 {
		t.Errorf("%+v", n)
	}
}
