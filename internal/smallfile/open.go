package smallfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Open opens a regular file to be read in pieces. Its errors are those of Read.
func Open(path string) (*os.File, fs.FileInfo, error) {
	if path == "" {
		return nil, nil, errors.New("the name of the file is empty")
	}
	f, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0) // or the open of a pipe waits for a writer
	if err != nil {
		return nil, nil, Explain(path, err)
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		return f, info, nil
	}
	f.Close()
	if err != nil {
		return nil, nil, Explain(path, err)
	}
	return nil, nil, fmt.Errorf("%s is %s: name a regular file", path, kindOf(info.Mode()))
}
