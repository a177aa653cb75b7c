package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// imageUser is who the image runs as: nobody that another image or a machine has.
const imageUser = 65532

// image is that of one platform, with its layer compressed in the given way. There is the
// program, the roots that it trusts, its user, and a directory for its state; no shell.
func (r *release) image(p platform, program []byte, media types.MediaType, compress func([]byte) ([]byte, error)) (v1.Image, error) {
	files, err := r.root(program)
	if err != nil {
		return nil, err
	}
	if files, err = compress(files); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil }, tarball.WithMediaType(media))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{Layer: layer, MediaType: media, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "make release"}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.system, p.processor, v1.Time{Time: r.time}
	config.Config = r.config()
	return mutate.ConfigFile(image, config)
}

// config is how the image runs unless somebody says otherwise: a relay, with the settings
// of /etc/detour/relay.yaml if that is there, and of the environment.
func (r *release) config() v1.Config {
	return v1.Config{
		User:         fmt.Sprintf("%d:%d", imageUser, imageUser),
		Env:          []string{"PATH=/usr/bin", "STATE_DIRECTORY=/var/lib/detour"},
		Entrypoint:   []string{"/usr/bin/detour"},
		Cmd:          []string{"relay"},
		WorkingDir:   "/var/lib/detour",
		Volumes:      map[string]struct{}{"/var/lib/detour": {}},
		ExposedPorts: map[string]struct{}{"443/tcp": {}, "3478/udp": {}},
		Healthcheck:  &v1.HealthConfig{Test: []string{"CMD", "/usr/bin/detour", "health"}, Interval: 30 * time.Second, Timeout: 10 * time.Second, StartPeriod: 30 * time.Second, Retries: 3},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "Detour",
			"org.opencontainers.image.version":  r.version,
			"org.opencontainers.image.revision": r.commit,
			"org.opencontainers.image.created":  r.time.Format(time.RFC3339),
			"org.opencontainers.image.source":   "https://github.com/detour-relay/detour",
			"org.opencontainers.image.licenses": "BSD-3-Clause",
		},
	}
}

// root is the tree of files of an image.
func (r *release) root(program []byte) ([]byte, error) {
	roots, err := trusted()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	put := func(name string, mode int64, owner int, data []byte) {
		head := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Uid: owner, Gid: owner, Size: int64(len(data)), ModTime: r.time, Format: tar.FormatPAX}
		if data == nil {
			head.Typeflag = tar.TypeDir
		}
		if err == nil {
			err = t.WriteHeader(head)
		}
		if err == nil {
			_, err = t.Write(data)
		}
	}
	for _, dir := range []string{"etc/", "etc/detour/", "etc/ssl/", "etc/ssl/certs/", "usr/", "usr/bin/", "usr/share/", "usr/share/doc/", "usr/share/doc/detour/", "var/", "var/lib/"} {
		put(dir, 0o755, 0, nil)
	}
	put("tmp/", 0o1777, 0, nil)
	put("var/lib/detour/", 0o770, imageUser, nil) // for its group, too: a root without rights is in it
	put("etc/group", 0o644, 0, fmt.Appendf(nil, "root:x:0:\ndetour:x:%d:\n", imageUser))
	put("etc/passwd", 0o644, 0, fmt.Appendf(nil, "root:x:0:0:root:/:/usr/sbin/nologin\ndetour:x:%[1]d:%[1]d:Detour:/var/lib/detour:/usr/sbin/nologin\n", imageUser))
	put("etc/ssl/certs/ca-certificates.crt", 0o644, 0, roots)
	for _, name := range []string{"LICENSE", licensesFile} {
		if text, is := find(r.common, name); is {
			put("usr/share/doc/detour/"+name, 0o644, 0, text)
		}
	}
	put("usr/bin/detour", 0o755, 0, program)
	if err == nil {
		err = t.Close()
	}
	return b.Bytes(), err
}

// trusted are Mozilla's roots, as the Go team hands them out, so that no machine's list gets
// in. Those that are trusted with conditions only are left out: a file of certificates
// cannot say these.
func trusted() ([]byte, error) {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// zstandard compresses a tenth better than gzip. Containers' runtimes have known it for years.
func zstandard(data []byte) ([]byte, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return z.EncodeAll(data, nil), nil
}

// loadable is an image as "docker load" and "podman load" take it, with gzip, which all of
// their versions know.
func (r *release) loadable(p platform, program []byte) error {
	image, err := r.image(p, program, types.DockerLayer, gzipped)
	if err != nil {
		return err
	}
	tag, err := name.NewTag("detour:" + imageTag(r.version))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	err = tarball.Write(tag, image, &b)
	return r.put(fmt.Sprintf("detour-%s-image-%s.tar", r.version, p.name()), b.Bytes(), err)
}

// imageTag is a version as tags may be.
func imageTag(version string) string { return strings.ReplaceAll(version, "+", "-") }

// index is the image for all platforms, as registries have it, in a directory that is packed.
func (r *release) index() error {
	if len(r.images) == 0 {
		return nil
	}
	index := mutate.IndexMediaType(mutate.AppendManifests(empty.Index, r.images...), types.OCIImageIndex)
	dir := filepath.Join(r.tmp, "oci")
	if _, err := layout.Write(dir, index); err != nil {
		return err
	}
	var all []entry
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(dir, path)
		all = append(all, entry{filepath.ToSlash(below), 0o644, data})
		return err
	})
	if err != nil {
		return err
	}
	data, err := packed("", all, r.time)
	return r.put(fmt.Sprintf("detour-%s-image.oci.tar", r.version), data, err)
}

// addImage makes what there is of images for a platform.
func (r *release) addImage(p platform, program []byte) error {
	image, err := r.image(p, program, types.OCILayerZStd, zstandard)
	if err != nil {
		return err
	}
	r.images = append(r.images, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.system, Architecture: p.processor}}})
	return r.loadable(p, program)
}
