package cli

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

var (
	errRate      = errors.New("want bits per second such as 250k, 500M, 1.5G, or max")
	errRateBytes = errors.New("this says bytes: want bits per second, which are 8 times as many, such as 250k, 500M or 1.5G")
)

var rateUnits = map[string]float64{"k": 1e3, "m": 1e6, "g": 1e9}

// ParseRate reads bits per second with a decimal unit, in capitals or not, as no other
// can be meant; 0 and max both mean as fast as it goes.
func ParseRate(text string) (int64, error) {
	text = strings.TrimSpace(text)
	if strings.EqualFold(text, "max") {
		return 0, nil
	}
	if strings.HasSuffix(text, "B") || strings.HasSuffix(text, "B/s") || strings.HasSuffix(text, "Bps") {
		return 0, errRateBytes
	}
	text = strings.ToLower(text)
	for _, bits := range []string{"bit/s", "bits/s", "bps", "bit"} {
		text = strings.TrimSuffix(text, bits)
	}
	text = strings.TrimSpace(text)
	factor := 1.0
	for unit, f := range rateUnits {
		if number, found := strings.CutSuffix(text, unit); found {
			text, factor = strings.TrimSpace(number), f
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	bits := n * factor
	if err != nil || bits < 0 || bits > 1e12 || math.IsNaN(bits) || bits != 0 && bits < 1e3 {
		return 0, errRate
	}
	return int64(bits), nil
}
