//go:build !unix

package cli

import "io/fs"

// worldReadable knows nothing: only Unix tells by the mode.
func worldReadable(fs.FileMode) bool { return false }
