package cli

import (
	"bytes"
	"testing"
)

func TestUnits(t *testing.T) {
	for us, want := range map[float64]string{450: "0.450 ms", 12_345: "12.35 ms", 1_234_567: "1234.6 ms"} {
		if got := Millis(us); got != want {
			t.Errorf("%v us are %q, want %q", us, got, want)
		}
	}
	for n, want := range map[int64]string{512: "512 B", 14 << 10: "14.0 KB", 70 << 20: "70.0 MB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	var nobody bytes.Buffer
	silent := NewProgressLine(&nobody)
	silent.Show(Progress{Stage: "measuring"})
	silent.Clear()
	if nobody.Len() > 0 {
		t.Errorf("%q went to something that is no terminal", nobody.String())
	}

	var screen bytes.Buffer
	line := &ProgressLine{w: &screen}
	line.Show(Progress{Stage: "peers", Done: 3, Total: 20, Left: 2e9, MbitPerS: 12.3})
	line.Show(Progress{Stage: "too soon"})
	line.Clear()
	if got, want := screen.String(), "\r\x1b[Kpeers  3 of 20  2 s left  12.3 Mbit/s arriving\r\x1b[K"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
