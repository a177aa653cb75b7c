//go:build !race

package netio_test

// echoSize is how much goes over each stream and back.
const echoSize = 8 << 20
