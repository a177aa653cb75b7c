//go:build !unix

package history

const nonBlocking = 0
