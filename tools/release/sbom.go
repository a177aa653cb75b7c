package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom writes what is in a program, as the program itself says it: in CycloneDX's JSON.
func (r *release) sbom(p platform, program []byte) error {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("what the program is made of: %w", err)
	}
	data, err := r.bom(info, sha256.Sum256(program))
	return r.put(fmt.Sprintf("detour-%s-%s.cdx.json", r.version, p.name()), data, err)
}

func (r *release) bom(info *buildinfo.BuildInfo, sum [sha256.Size]byte) ([]byte, error) {
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(sum)
	main := component(cdx.ComponentTypeApplication, info.Main.Path, r.version, "")
	main.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	main.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "BSD-3-Clause"}}}
	bom.Metadata = &cdx.Metadata{Timestamp: r.time.Format(time.RFC3339), Component: &main}

	parts := []cdx.Component{component(cdx.ComponentTypeLibrary, "std", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, m := range info.Deps {
		parts = append(parts, linked(m))
	}
	bom.Components = &parts
	var refs []string
	for _, c := range parts {
		refs = append(refs, c.BOMRef)
	}
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	var b bytes.Buffer
	encoder := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	err := encoder.Encode(bom)
	return b.Bytes(), err
}

// linked is one that was linked; where another takes its place, that one.
func linked(m *debug.Module) cdx.Component {
	if m.Replace != nil {
		m = m.Replace
	}
	return component(cdx.ComponentTypeLibrary, m.Path, m.Version, m.Sum)
}

func component(kind cdx.ComponentType, name, version, sum string) cdx.Component {
	url := "pkg:golang/" + name + "@" + strings.ReplaceAll(version, "+", "%2B")
	c := cdx.Component{Type: kind, BOMRef: url, Name: name, Version: version, PackageURL: url}
	if hash, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:")); err == nil && len(hash) == sha256.Size {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(hash)}}
	}
	return c
}

// serial is a number that no other program has: a UUID (version 8) of its sum.
func serial(sum [sha256.Size]byte) string {
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
