package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// A release is what is made of a source.
type release struct {
	source
	out       string
	platforms []platform

	tmp    string
	common []entry // what every platform gets, besides the program
	images []mutate.IndexAddendum
	made   []string
}

// make fills the directory.
func (r *release) make(ctx context.Context) (err error) {
	if r.tmp, err = os.MkdirTemp("", "detour-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.tmp)
	if err := r.empty(); err != nil {
		return err
	}
	if r.common, err = r.gather(); err != nil {
		return err
	}
	for _, p := range r.platforms {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fmt.Println("make", r.version, "for", p)
		if err := r.platform(p); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	if err := r.index(); err != nil {
		return err
	}
	return r.sums()
}

// empty takes away what an earlier release has made, and nothing else.
func (r *release) empty() error {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	there, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	for _, f := range there {
		name := f.Name()
		if f.IsDir() || name != sumsFile && !strings.HasPrefix(name, "detour-") && !strings.HasPrefix(name, "detour_") {
			continue
		}
		if err := os.Remove(filepath.Join(r.out, name)); err != nil {
			return err
		}
	}
	return nil
}

// gather is what does not depend on the platform.
func (r *release) gather() ([]entry, error) {
	fmt.Println("write the manual")
	manual, err := r.manual(r.tmp)
	if err != nil {
		return nil, err
	}
	files, err := r.tracked("README.md", "CHANGELOG.md", "LICENSE", ":(glob)docs/*.md", "dist")
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(e entry) bool { return path.Ext(e.path) == ".go" })
	terms, err := r.licenses(r.platforms)
	if err != nil {
		return nil, err
	}
	return append(append(files, entry{licensesFile, 0o644, terms}), manual...), nil
}

// platform makes what there is for one.
func (r *release) platform(p platform) error {
	file := filepath.Join(r.tmp, p.name())
	if err := r.build(p, file); err != nil {
		return err
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	steps := []func(platform, []byte) error{r.archive, r.sbom}
	if p.packaged() {
		steps = append(steps, r.packages, r.addImage)
	}
	for _, step := range steps {
		if err := step(p, program); err != nil {
			return err
		}
	}
	return nil
}

// archive is for those who have no package.
func (r *release) archive(p platform, program []byte) error {
	dir := fmt.Sprintf("detour-%s-%s", r.version, p.name())
	files := []entry{{p.program(), 0o755, program}}
	for _, e := range r.common {
		if path.Dir(e.path) != "dist/package" {
			files = append(files, e)
		}
	}
	if p.system == "windows" {
		data, err := zipped(dir, files, r.time)
		return r.put(dir+".zip", data, err)
	}
	data, err := packed(dir, files, r.time)
	if err == nil {
		data, err = gzipped(data)
	}
	return r.put(dir+".tar.gz", data, err)
}

// put writes a file of the release, unless there was an error in making it.
func (r *release) put(name string, data []byte, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := os.WriteFile(filepath.Join(r.out, name), data, 0o644); err != nil {
		return err
	}
	fmt.Printf("  %-50s %5.1f MB\n", name, float64(len(data))/1e6)
	r.made = append(r.made, fmt.Sprintf("%x  %s\n", sha256.Sum256(data), name))
	return nil
}

const sumsFile = "SHA256SUMS"

// sums lists all that was made, as sha256sum --check reads it.
func (r *release) sums() error {
	slices.SortFunc(r.made, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	return os.WriteFile(filepath.Join(r.out, sumsFile), []byte(strings.Join(r.made, "")), 0o644)
}
