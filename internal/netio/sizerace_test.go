//go:build race

package netio_test

const echoSize = 2 << 20
