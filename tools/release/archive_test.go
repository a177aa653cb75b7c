package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"testing"
	"time"
)

var (
	commitTime = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	two        = []entry{{"detour", 0o755, []byte("program")}, {"docs/install.md", 0o644, []byte("page")}}
)

func TestTarballHasWhatIsPacked(t *testing.T) {
	data, err := packed("d", two, commitTime)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = gzipped(data); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil || !z.ModTime.IsZero() || z.Name != "" {
		t.Fatalf("%+v (%v)", z.Header, err)
	}
	r := tar.NewReader(z)
	for _, want := range two {
		head, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || head.Name != "d/"+want.path || head.Mode != want.mode || string(text) != string(want.data) || !head.ModTime.Equal(commitTime) || head.Uname != "" {
			t.Errorf("%+v %q (%v)", head, text, err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("there is more: %v", err)
	}
}

func TestZipHasWhatIsPacked(t *testing.T) {
	data, err := zipped("d", two, commitTime)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil || len(z.File) != 2 {
		t.Fatalf("%d files (%v)", len(z.File), err)
	}
	for i, want := range two {
		f, err := z.File[i].Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err != nil || z.File[i].Name != "d/"+want.path || string(text) != string(want.data) || !z.File[i].Modified.Equal(commitTime) {
			t.Errorf("%+v %q (%v)", z.File[i].FileHeader, text, err)
		}
	}
}
