package decoy

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
)

// A directory serves its files, and those beneath it. It is opened for each request, so
// that a link which is turned to another release counts at once. Nothing leads out of
// it, what begins with a dot is not there, and there are no lists of files.
type directory string

const (
	index    = "index.html"
	notFound = "404.html" // what to say instead of the words below
)

const missing = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>404 Not Found</title></head>
<body><h1>Not Found</h1></body>
</html>
`

// ServeHTTP implements http.Handler.
func (d directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	root, err := os.OpenRoot(string(d))
	if err != nil {
		sayMissing(w, nil, r)
		return
	}
	defer root.Close()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	serveFile(w, r, root)
}

func serveFile(w http.ResponseWriter, r *http.Request, root *os.Root) {
	name, ok := fileOf(r.URL.Path)
	if !ok {
		sayMissing(w, root, r)
		return
	}
	info, err := root.Stat(name)
	slash := strings.HasSuffix(r.URL.Path, "/")
	switch {
	case err != nil || slash && !info.IsDir():
		sayMissing(w, root, r)
		return
	case path.Base(name) == index && !info.IsDir():
		moved(w, r, "./")
		return
	case info.IsDir():
		within := path.Join(name, index)
		if !slash && exists(root, within) {
			moved(w, r, "./"+url.PathEscape(path.Base(name))+"/")
			return
		}
		name = within
	}
	f, info, err := open(root, name)
	if err != nil {
		sayMissing(w, root, r)
		return
	}
	defer f.Close()
	h := w.Header()
	h.Set("Etag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	h.Set("Cache-Control", "no-cache") // kept, and asked for whether it is still so
	http.ServeContent(w, r, name, info.ModTime(), f)
}

// fileOf is the name that a path leads to within the directory, if there can be one.
func fileOf(urlPath string) (name string, ok bool) {
	if strings.ContainsAny(urlPath, "\x00\\") || !strings.HasPrefix(urlPath, "/") {
		return "", false
	}
	name = strings.TrimPrefix(path.Clean(urlPath), "/")
	if name == "" {
		return ".", true
	}
	for i, part := range strings.Split(name, "/") {
		wellKnown := i == 0 && part == ".well-known"
		if strings.HasPrefix(part, ".") && !wellKnown {
			return "", false
		}
	}
	return name, fs.ValidPath(name)
}

func exists(root *os.Root, name string) bool {
	info, err := root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// open opens what is a file and nothing else: reading a pipe would wait for somebody.
func open(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	if !exists(root, name) {
		return nil, nil, fs.ErrNotExist
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// moved leads to a path beside this one.
func moved(w http.ResponseWriter, r *http.Request, to string) {
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusMovedPermanently)
}

// sayMissing is the answer for what is not there.
func sayMissing(w http.ResponseWriter, root *os.Root, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if root != nil {
		if f, info, err := open(root, notFound); err == nil {
			defer f.Close()
			w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
			w.WriteHeader(http.StatusNotFound)
			if r.Method != http.MethodHead {
				io.CopyN(w, f, info.Size())
			}
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
	io.WriteString(w, missing)
}
