package cli

import "testing"

func TestParseRate(t *testing.T) {
	for text, want := range map[string]int64{
		"max": 0, "0": 0, "1000": 1000, "250k": 250_000, "500M": 500_000_000, "1.5G": 1_500_000_000,
		"100K": 100_000, "1m": 1_000_000, "5m": 5_000_000, "2g": 2_000_000_000, "MAX": 0, "1 G": 1_000_000_000,
		"10Mbit/s": 10_000_000, "10Mbps": 10_000_000, "250 kbit": 250_000,
	} {
		if got, err := ParseRate(text); got != want || err != nil {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "k", "-1M", "1T", "NaN", "Inf", "1e30", "999", "1GG", "5MB", "5MB/s", "1Mi", "M5", "5kM"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q is accepted as %d", text, got)
		}
	}
}
