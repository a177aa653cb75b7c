package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

var errRate = errors.New("want bits per second such as 250k, 500M, 1.5G, or max")

// parseRate reads bits per second with a decimal unit; 0 and max both mean as fast as it goes.
func parseRate(text string) (int64, error) {
	if text == "max" {
		return 0, nil
	}
	unit := 1.0
	switch {
	case strings.HasSuffix(text, "k"):
		unit = 1e3
	case strings.HasSuffix(text, "M"):
		unit = 1e6
	case strings.HasSuffix(text, "G"):
		unit = 1e9
	}
	if unit > 1 {
		text = text[:len(text)-1]
	}
	n, err := strconv.ParseFloat(text, 64)
	bits := n * unit
	if err != nil || bits < 0 || bits > 1e12 || math.IsNaN(bits) || bits != 0 && bits < 1e3 {
		return 0, errRate
	}
	return int64(bits), nil
}
