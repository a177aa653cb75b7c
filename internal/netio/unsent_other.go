//go:build unix && !linux

package netio

func limitUnsent(int) {}
