package config

import (
	"strings"
	"testing"
)

func TestRatesAndSizes(t *testing.T) {
	for text, want := range map[string]Rate{
		"0": 0, "1": 1, "10Mbit/s": 1_250_000, "1.25MB/s": 1_250_000, "1 kbit/s": 125, "8bit/s": 1, "64KiB/s": 65_536, "10mbit/s": 1_250_000, " 5 MB/s ": 5_000_000,
	} {
		var got Rate
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for text, want := range map[string]Size{"10TB": 1e13, "500GiB": 500 << 30, "7": 7, "1.5MB": 1_500_000, "1PiB": 1 << 50} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "fast", "-1", "1e30", "NaN", "Inf", "10 Mbit/h", "B", "1xB", "0x"} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "10Mbit/s") {
			t.Errorf("%q is the rate %d: %v", text, r, err)
		}
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "500GiB") {
			t.Errorf("%q is the size %d: %v", text, s, err)
		}
	}
	var s Size
	if err := s.UnmarshalText([]byte("10Mbit")); err == nil {
		t.Errorf("bits are the size %d", s)
	}
}

// What is written is read back as it was, and as a person would write it.
func TestUnitsAreWrittenAsTheyAreRead(t *testing.T) {
	for want, r := range map[string]Rate{"0": 0, "10Mbit/s": 1_250_000, "1Gbit/s": 125_000_000, "1B/s": 1, "1234567B/s": 1_234_567, "1.5Mbit/s": 187_500} {
		var back Rate
		if err := back.UnmarshalText([]byte(r.String())); err != nil || back != r || r.String() != want {
			t.Errorf("%s for %d is %d: %v", r, r, back, err)
		}
	}
	for want, s := range map[string]Size{"0B": 0, "10TB": 1e13, "65573B": 65_573, "1.5MB": 1_500_000} {
		var back Size
		if err := back.UnmarshalText([]byte(s.String())); err != nil || back != s || s.String() != want {
			t.Errorf("%s for %d is %d: %v", s, s, back, err)
		}
	}
	l := Limit{In: 1_250_000, Burst: 2_000_000}
	var back Limit
	if err := back.UnmarshalText([]byte(l.String())); err != nil || back != l || l.String() != "in=10Mbit/s out=0 burst=2MB" {
		t.Errorf("%s is %+v: %v", l, back, err)
	}
	for _, text := range []string{"10Mbit/s", "in=fast", "up=1", "in=5Mbit/s in=6Mbit/s", "in=0,out=1MB/s,in=0"} {
		if err := back.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a limit", text)
		}
	}
}
