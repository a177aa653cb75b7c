package load

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
)

func smallEcho(url string) EchoConfig {
	return EchoConfig{
		Dial: client.Config{URL: url}, Count: 60, Size: 100,
		Interval: time.Millisecond, Timeout: time.Minute,
	}
}

func TestEchoComesBack(t *testing.T) {
	_, url := newScripted(t, nil)
	cfg := smallEcho(url)
	var seqs []uint64
	cfg.Each = func(r Reply) {
		if r.Lost || r.Took <= 0 {
			t.Errorf("%+v", r)
		}
		seqs = append(seqs, r.Seq)
	}
	r, err := Echo(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 60 || r.Received != 60 || r.LossPercent != 0 || r.RoundTrip == nil || r.RoundTrip.P50 <= 0 {
		t.Errorf("%+v", r)
	}
	if len(seqs) != 60 || !slices.IsSorted(seqs) || seqs[0] != 1 {
		t.Errorf("replies in the order %v", seqs)
	}
}

func TestEchoTellsWhatIsLost(t *testing.T) {
	_, url := newScripted(t, drops)
	cfg := smallEcho(url)
	cfg.Timeout = 200 * time.Millisecond
	var lost uint64
	cfg.Each = func(r Reply) {
		if r.Lost {
			lost++
		}
	}
	r, err := Echo(t.Context(), cfg)
	if err != nil || lost == 0 || r.Sent-r.Received != lost || r.Broken.Frames != 0 {
		t.Errorf("told %d as lost: %+v, %v", lost, r, err)
	}
}

func TestEchoFindsFaults(t *testing.T) {
	_, url := newScripted(t, corrupts)
	cfg := smallEcho(url)
	cfg.Timeout = 200 * time.Millisecond
	r, err := Echo(t.Context(), cfg)
	if err != nil || r.Broken.Kinds[WrongContent.String()] == 0 || r.Received == r.Sent {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestEchoEndsWithItsContext(t *testing.T) {
	_, url := newScripted(t, nil)
	cfg := smallEcho(url)
	cfg.Count = 0
	ctx, stop := context.WithCancel(t.Context())
	cfg.Each = func(r Reply) {
		if r.Seq == 10 {
			stop()
		}
	}
	r, err := Echo(ctx, cfg)
	if err != nil || r.Received < 10 || r.Sent != r.Received {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestEchoWhenTheRelayEnds(t *testing.T) {
	relay, url := newScripted(t, nil)
	cfg := smallEcho(url)
	cfg.Each = func(r Reply) {
		if r.Seq == 10 {
			relay.close()
		}
	}
	if r, err := Echo(t.Context(), cfg); err == nil {
		t.Errorf("no error: %+v", r)
	}
}
