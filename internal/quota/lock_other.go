//go:build !unix || solaris || illumos || aix

package quota

// lock does nothing: here no process takes over from another.
func (s store) lock() (unlock func()) { return func() {} }
