// Command site makes one small static site of the repository's pages: docs/, and those at
// the top. docs/README.md is its first page, and what stands there is the navigation.
//
//	go run . [-root DIR] [-out DIR]
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", "../..", "the repository")
	out := flag.String("out", "../../dist/out/site", "directory to write into; what it had is gone")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	files, err := Make(*root)
	if err == nil {
		err = write(*out, files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
	fmt.Println(filepath.Join(*out, "index.html"))
}

// write puts the files where the site was before. A directory that has no first page of a
// site, and is not empty, is somebody else's.
func write(dir string, files map[string][]byte) error {
	if there, _ := os.ReadDir(dir); len(there) > 0 {
		if _, err := os.Stat(filepath.Join(dir, "index.html")); err != nil {
			return fmt.Errorf("%s is not empty and has no site: name another -out", dir)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
