//go:build !unix

package smallfile

import "io/fs"

const nonBlocking = 0

const permissionRemedy = ": give this user read access in the properties of the file and of its directory"

func whoami() string { return "this user" }

func ownerOf(fs.FileInfo) string { return "" }

// OpenToOthers knows nothing: only Unix tells by the mode.
func OpenToOthers(string) bool { return false }

// WritableByOthers knows nothing: only Unix tells by the mode.
func WritableByOthers(string) bool { return false }

// keepOwner has nothing to keep.
func keepOwner(from, to string) error { return nil }

// OtherOwner knows nothing: only Unix tells so simply.
func OtherOwner(string) string { return "" }
