// Package smallfile reads and writes the files that people make or keep by hand:
// keys, certificates, lists.
//
// Reading never hangs and never takes more memory than the caller allows, whatever
// stands at the path. Where the system only says "permission denied" or "no such
// file", the error says which directory or file refuses whom, or where a link leads,
// and what to do. Writing makes a file that appears whole or not at all.
package smallfile

import (
	"fmt"
	"io"
	"io/fs"
)

// Read returns what a file holds, if that is at most so many bytes. Its errors name
// the path and wrap what the system said.
func Read(path string, most int) ([]byte, error) {
	f, _, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return nil, Explain(path, err)
	}
	if len(data) > most {
		return nil, fmt.Errorf("%s is larger than %d KiB: is this the right file?", path, most/1024)
	}
	return data, nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}
