package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/zstd"
)

// images makes all that there is of images, and returns what each tarball and the index hold.
func images(t *testing.T) (r *release, loaded v1.Image, index v1.ImageIndex) {
	t.Helper()
	r = sample(t)
	for _, p := range []platform{{"linux", "amd64"}, {"linux", "arm64"}} {
		if err := r.addImage(p, []byte("program of "+p.processor)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.index(); err != nil {
		t.Fatal(err)
	}
	loaded, err := tarball.ImageFromPath(filepath.Join(r.out, "detour-"+r.version+"-image-linux-amd64.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	packed, err := os.ReadFile(filepath.Join(r.out, "detour-"+r.version+"-image.oci.tar"))
	if err != nil {
		t.Fatal(err)
	}
	unpack(t, tar.NewReader(bytes.NewReader(packed)), dir)
	if index, err = layout.ImageIndexFromPath(dir); err != nil {
		t.Fatal(err)
	}
	return r, loaded, index
}

func unpack(t *testing.T, r *tar.Reader, dir string) {
	t.Helper()
	for {
		head, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, filepath.FromSlash(head.Name))
		if os.MkdirAll(filepath.Dir(file), 0o755) != nil || os.WriteFile(file, data, 0o600) != nil {
			t.Fatalf("%s cannot be unpacked", head.Name)
		}
	}
}

// What a registry, or Docker, would look at fits together: sums, sizes, kinds.
func TestImagesAreValid(t *testing.T) {
	_, loaded, index := images(t)
	if err := validate.Image(loaded); err != nil {
		t.Error(err)
	}
	if err := validate.Index(index, validate.Fast); err != nil { // all of it but the layers, which it reads with gzip only
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 {
		t.Fatalf("%+v (%v)", manifest, err)
	}
	for i, processor := range []string{"amd64", "arm64"} {
		if p := manifest.Manifests[i].Platform; p == nil || p.OS != "linux" || p.Architecture != processor {
			t.Errorf("%+v, want %s", p, processor)
		}
		image, err := index.Image(manifest.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		wantLayer(t, image)
	}
	one, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	inIndex, err := one.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if is, err := loaded.ConfigName(); err != nil || is != inIndex {
		t.Errorf("what is loaded is %v, what is pulled %v (%v)", is, inIndex, err)
	}
}

// wantLayer looks whether the one layer has the sums that manifest and config say.
func wantLayer(t *testing.T, image v1.Image) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers (%v)", len(layers), err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	packed, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	sum := sha256.New()
	z, err := zstd.NewReader(io.TeeReader(packed, sum))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	inside := sha256.New()
	if _, err := io.Copy(inside, z); err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil || fmt.Sprintf("%x", sum.Sum(nil)) != digest.Hex || fmt.Sprintf("%x", inside.Sum(nil)) != config.RootFS.DiffIDs[0].Hex {
		t.Errorf("the layer is not %v (%v)", digest, err)
	}
}

func TestWhatIsInTheImage(t *testing.T) {
	_, loaded, _ := images(t)
	config, err := loaded.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "65532:65532" || c.Entrypoint[0] != "/usr/bin/detour" || c.Healthcheck == nil || !config.Created.Equal(sampleTime(t)) {
		t.Errorf("%+v", config)
	}
	r := tar.NewReader(mutate.Extract(loaded))
	seen := map[string]*tar.Header{}
	text := map[string][]byte{}
	for {
		head, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		seen[head.Name] = head
		if text[head.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	if string(text["usr/bin/detour"]) != "program of amd64" || seen["usr/bin/detour"].Mode != 0o755 {
		t.Errorf("%q %+v", text["usr/bin/detour"], seen["usr/bin/detour"])
	}
	if state := seen["var/lib/detour"]; state == nil || state.Uid != imageUser || state.Mode != 0o770 {
		t.Errorf("%+v", state)
	}
	pool, roots := x509.NewCertPool(), text["etc/ssl/certs/ca-certificates.crt"]
	if !pool.AppendCertsFromPEM(roots) || bytes.Count(roots, []byte("BEGIN")) < 100 {
		t.Errorf("the roots are %d bytes", len(roots))
	}
	for block, rest := pem.Decode(roots); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
	}
}

// Each module of the program that runs this test is in the list of what it is made of.
func TestWhatAProgramIsMadeOf(t *testing.T) {
	r := sample(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	p := platform{"linux", "amd64"}
	if err := r.sbom(p, program); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.out, "detour-"+r.version+"-linux-amd64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat    string
		SerialNumber string
		Metadata     struct {
			Component struct{ Version string }
		}
		Components []struct {
			Name, Version, PURL string
			Hashes              []struct{ Content string }
		}
	}
	if err := json.Unmarshal(text, &bom); err != nil || bom.BOMFormat != "CycloneDX" || bom.Metadata.Component.Version != r.version || len(bom.SerialNumber) != 45 {
		t.Fatalf("%+v (%v)", bom, err)
	}
	found := map[string]int{}
	for _, c := range bom.Components {
		found[c.Name] = len(c.Hashes)
		if c.PURL != "pkg:golang/"+c.Name+"@"+c.Version {
			t.Errorf("%+v", c)
		}
	}
	if hashes, is := found["github.com/google/go-containerregistry"]; !is || hashes != 1 {
		t.Errorf("%v", found)
	}
	if _, is := found["std"]; !is {
		t.Error("Go's library is missing")
	}
	if err := r.sbom(p, []byte("no program")); err == nil {
		t.Error("a file that is no program is described")
	}
}
