//go:build !unix

package front

// DescriptorLimit returns 0: the system has no such limit.
func DescriptorLimit() uint64 { return 0 }
