package coordnats

import (
	"testing"

	"github.com/nats-io/nats.go"
)

func TestPositionOf(t *testing.T) {
	for reply, want := range map[string]where{
		"$JS.ACK.S.C.1.7.3.99.5":                  {7, 3, 5},
		"$JS.ACK.domain.account.S.C.1.7.3.99.5.x": {7, 3, 5},
		"$JS.ACK._.account.S.C.1.7.3.99.5":        {7, 3, 5},
	} {
		if got, err := positionOf(&nats.Msg{Reply: reply}); err != nil || got != want {
			t.Errorf("%s: %v, %v", reply, got, err)
		}
	}
	for _, reply := range []string{"", "x", "$JS.ACK.S.C.1.7.3.99", "$JS.ACK.S.C.1.x.3.99.5", "$JS.ACK.S.C.1.7.x.99.5", "$JS.ACK.S.C.1.7.3.99.x", "$JS.FC.S.C.1.7.3.99.5"} {
		if got, err := positionOf(&nats.Msg{Reply: reply}); err == nil {
			t.Errorf("%q: %v", reply, got)
		}
	}
}

func FuzzPositionOf(f *testing.F) {
	f.Add("$JS.ACK.S.C.1.7.3.99.5")
	f.Add("$JS.ACK.domain.account.S.C.1.7.3.99.5.x")
	f.Add("$JS.ACK......0.0.") // ten parts: of neither form
	f.Fuzz(func(t *testing.T, reply string) { positionOf(&nats.Msg{Reply: reply}) })
}
