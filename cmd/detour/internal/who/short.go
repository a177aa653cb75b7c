package who

import (
	"strconv"
	"time"
)

// Size is short, also of what a busy relay has carried in a year.
func Size(n uint64) string {
	value, unit := float64(n), ""
	for _, unit = range []string{"B", "KB", "MB", "GB", "TB", "PB", "EB"} {
		if value < 1000 || unit == "EB" {
			break
		}
		value /= 1024
	}
	if unit == "B" {
		return strconv.FormatUint(n, 10) + " B"
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + unit
}

// Lasting has the two largest units of how long something lasts.
func Lasting(d time.Duration) string {
	s := max(int64(d/time.Second), 0)
	two := func(a int64, unit string, b int64, rest string) string {
		return strconv.FormatInt(a, 10) + unit + strconv.FormatInt(b, 10) + rest
	}
	switch {
	case s < 60:
		return strconv.FormatInt(s, 10) + "s"
	case s < 3600:
		return two(s/60, "m", s%60, "s")
	case s < 24*3600:
		return two(s/3600, "h", s/60%60, "m")
	}
	return two(s/86400, "d", s/3600%24, "h")
}

// Delay is empty where nothing is known.
func Delay(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Second:
		return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64) + "ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// PerSecond is a rate of bytes; empty: nothing moves.
func PerSecond(n float64) string {
	if n < 0.5 {
		return ""
	}
	return Size(uint64(n)) + "/s"
}
