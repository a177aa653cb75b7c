package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/load"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]int64{
		"max": 0, "0": 0, "1000": 1000, "250k": 250_000, "500M": 500_000_000, "1.5G": 1_500_000_000,
	} {
		if got, err := parseRate(text); got != want || err != nil {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "k", "-1M", "1T", "1 G", "NaN", "Inf", "1e30", "999", "5m", "MAX", "1GG"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("%q is accepted as %d", text, got)
		}
	}
}

func TestJudgments(t *testing.T) {
	whole := load.Report{}
	broken := load.Report{Broken: load.Broken{Streams: 1, Frames: 2, Example: "out of order: ..."}}
	cut := load.Report{Lost: load.Ended{Count: 1, Example: "a receiver's connection ended"}}
	lossy := load.Report{Packets: load.Packets{Sent: 10, Lost: 9}}
	if judgeBench(&whole) != nil || judgeBench(&lossy) != nil {
		t.Error("a whole run fails; loss is no fault")
	}
	if err := judgeBench(&broken); err == nil || !strings.Contains(err.Error(), broken.Broken.Example) {
		t.Errorf("broken streams: %v", err)
	}
	if err := judgeBench(&cut); err == nil || exitStatus(err) != exitBad {
		t.Errorf("a lost connection: %v", err)
	}

	for _, r := range []load.EchoReport{
		{Sent: 3, Received: 2}, {Sent: 3}, {Sent: 3, Received: 3, Broken: load.Broken{Frames: 1}},
	} {
		if err := judgeEcho(&r); exitStatus(err) != exitBad {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if err := judgeEcho(&load.EchoReport{Sent: 3, Received: 3}); err != nil {
		t.Error(err)
	}
}

func TestHintsForStatuses(t *testing.T) {
	for _, test := range []struct {
		status client.StatusError
		want   string
	}{
		{client.StatusError{Code: 407, Proxy: true}, "HTTPS_PROXY"},
		{client.StatusError{Code: 302, Redirect: "http://portal.example"}, "leave the network that redirects"},
		{client.StatusError{Code: 403}, "refuses us"},
		{client.StatusError{Code: 404}, "path included"},
	} {
		err := withHint(&load.LoginError{Err: &test.status})
		if exitStatus(err) != exitUnanswered || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test.status, err)
		}
	}
	if err := withHint(client.ErrAdmissionRefused); !strings.Contains(err.Error(), "only peers it knows") {
		t.Error(err)
	}
	if err := withHint(errors.New("odd")); err.Error() != "odd" || exitStatus(err) != exitUnanswered {
		t.Errorf("without a hint: %v", err)
	}
}

func TestUnits(t *testing.T) {
	for us, want := range map[float64]string{450: "0.450 ms", 12_345: "12.35 ms", 1_234_567: "1234.6 ms"} {
		if got := millis(us); got != want {
			t.Errorf("%v us are %q, want %q", us, got, want)
		}
	}
	for n, want := range map[int64]string{512: "512 B", 14 << 10: "14.0 KB", 70 << 20: "70.0 MB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	var nobody bytes.Buffer
	silent := newProgressLine(&nobody)
	silent.show(load.Progress{Stage: "measuring"})
	silent.clear()
	if nobody.Len() > 0 {
		t.Errorf("%q went to something that is no terminal", nobody.String())
	}

	var screen bytes.Buffer
	line := &progressLine{w: &screen}
	line.show(load.Progress{Stage: "peers", Done: 3, Total: 20, Left: 2e9, MbitPerS: 12.3})
	line.show(load.Progress{Stage: "too soon"})
	line.clear()
	if got, want := screen.String(), "\r\x1b[Kpeers  3 of 20  2 s left  12.3 Mbit/s arriving\r\x1b[K"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
