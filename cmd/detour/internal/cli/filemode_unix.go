//go:build unix

package cli

import "io/fs"

// worldReadable reports whether others than owner and group can read a file.
func worldReadable(mode fs.FileMode) bool { return mode&0o004 != 0 }
