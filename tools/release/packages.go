package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"

	"github.com/detour-relay/detour/internal/unit"
)

const maintainer = "The Detour authors <detour@users.noreply.github.com>"

// packages makes a deb and an rpm.
func (r *release) packages(p platform, program []byte) error {
	for _, kind := range []struct {
		name string
		nfpm.Packager
	}{{"deb", deb.Default}, {"rpm", rpm.DefaultRPM}} {
		info, err := r.info(p, kind.name, program)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		err = kind.Package(info, &b)
		if err := r.put(kind.ConventionalFileName(info), b.Bytes(), err); err != nil {
			return err
		}
	}
	return nil
}

// info is the whole package: what it says of itself, its files, and what runs as it comes
// and goes.
func (r *release) info(p platform, kind string, program []byte) (*nfpm.Info, error) {
	stage := filepath.Join(r.tmp, kind+"-"+p.processor)
	contents, err := r.contents(kind, program, stage)
	if err != nil {
		return nil, err
	}
	script := func(name string) string { return filepath.Join(r.dir, "dist", "package", name) }
	info := &nfpm.Info{
		Name: "detour", Arch: p.processor, Platform: p.system, Version: packaged(r.version), VersionSchema: "none", Release: "1",
		Section: "net", Priority: "optional", Maintainer: maintainer, Vendor: "Detour", License: "BSD-3-Clause",
		Homepage:    "https://github.com/detour-relay/detour",
		Description: description, MTime: r.time, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Contents: contents, Umask: 0o022,
			Scripts: nfpm.Scripts{PostInstall: script("postinst"), PreRemove: script("prerm"), PostRemove: script("postrm")},
			Deb:     nfpm.Deb{Compression: "gzip:9"},
			RPM:     nfpm.RPM{Compression: "gzip:9", BuildHost: "localhost", Summary: summary},
		},
	}
	info.Depends, info.Recommends = []string{"passwd"}, []string{"ca-certificates"}
	if kind == "rpm" {
		info.Depends = []string{"/usr/sbin/useradd"}
	}
	return info, nil
}

const summary = "relay for WireGuard peers, by the DERP protocol"

const description = summary + `
Peers that cannot reach each other directly connect to a relay by TLS on port
443, which passes nearly any firewall, and send packets to each other's public
keys. It serves unmodified Tailscale clients and works with Headscale.
.
The one program runs relays and coordinators, checks them from the outside,
looks after DERP maps, and connects machines by WireGuard over relays.
.
Nothing is started by the installation: "detour init --service" sets a relay
up.`

// contents puts the files of a package into a directory, where nfpm reads them.
func (r *release) contents(kind string, program []byte, stage string) (files.Contents, error) {
	all, err := r.packaged(kind)
	if err != nil {
		return nil, err
	}
	all = append(all, entry{"/usr/bin/detour", 0o755, program})
	var contents files.Contents
	for _, dir := range directories(all) {
		contents = append(contents, &files.Content{Destination: dir, Type: files.TypeDir, FileInfo: &files.ContentFileInfo{Mode: fs.ModeDir | 0o755}})
	}
	for _, e := range all {
		file := filepath.Join(stage, filepath.FromSlash(e.path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, e.data, 0o600); err != nil {
			return nil, err
		}
		contents = append(contents, &files.Content{Source: file, Destination: e.path, FileInfo: &files.ContentFileInfo{Mode: fs.FileMode(e.mode), MTime: r.time}})
	}
	return contents, nil
}

// directories are those that are the package's own. rpm takes away only what it was told of.
func directories(all []entry) []string {
	own := []string{"/etc/detour"}
	for _, e := range all {
		for dir := path.Dir(e.path); strings.Contains(dir, "/detour"); dir = path.Dir(dir) {
			own = append(own, dir)
		}
	}
	slices.Sort(own)
	return slices.Compact(own)
}

const docs = "/usr/share/doc/detour/"

// packaged are the files of a package where they are installed, besides the program.
func (r *release) packaged(kind string) (all []entry, err error) {
	for _, e := range r.common {
		if e.path = place(e.path, kind); e.path == "" {
			continue
		}
		if strings.HasSuffix(e.path, ".gz") {
			if e.data, err = gzipped(e.data); err != nil {
				return nil, err
			}
		}
		if path.Ext(e.path) == ".service" {
			e.data = fitted(e.data)
		}
		all = append(all, e)
	}
	if kind == "deb" {
		log, err := gzipped(r.debianLog())
		if err != nil {
			return nil, err
		}
		all = append(all, entry{docs + "changelog.Debian.gz", 0o644, log})
	}
	return all, nil
}

// place is where a file of an archive belongs on a machine; empty: nowhere.
func place(file, kind string) string {
	dir, name := path.Split(file)
	switch {
	case file == "LICENSE" && kind == "deb":
		return docs + "copyright"
	case file == "LICENSE":
		return "/usr/share/licenses/detour/LICENSE"
	case file == "CHANGELOG.md":
		return docs + "changelog.gz"
	case dir == "dist/package/" && name == "sysusers.conf":
		return "/usr/lib/sysusers.d/detour.conf"
	case dir == "dist/package/":
		return ""
	case path.Ext(name) == ".service":
		return "/usr/lib/systemd/system/" + name
	case strings.HasPrefix(file, "dist/"):
		return docs + "examples/" + strings.TrimPrefix(file, "dist/")
	case dir == "man/man1/":
		return "/usr/share/man/man1/" + name + ".gz"
	case dir == "completions/bash/":
		return "/usr/share/bash-completion/completions/detour"
	case dir == "completions/zsh/" && kind == "deb":
		return "/usr/share/zsh/vendor-completions/_detour"
	case dir == "completions/zsh/":
		return "/usr/share/zsh/site-functions/_detour"
	case dir == "completions/fish/":
		return "/usr/share/fish/vendor_completions.d/detour.fish"
	case dir == "completions/powershell/":
		return ""
	}
	return docs + file
}

// fitted is a unit for every systemd that the package may meet, with the program where
// the package has it.
func fitted(text []byte) []byte {
	var args []string
	for line := range strings.Lines(string(text)) {
		if command, is := strings.CutPrefix(line, "ExecStart="); is {
			args = strings.Fields(command)[1:]
		}
	}
	return []byte(unit.Fit(string(text), "/usr/bin/detour", args, unit.Oldest))
}

// debianLog is the one entry that Debian's tools look for.
func (r *release) debianLog() []byte {
	return fmt.Appendf(nil, "detour (%s-1) unstable; urgency=medium\n\n  * /usr/share/doc/detour/changelog.gz has what has changed.\n\n -- %s  %s\n",
		packaged(r.version), maintainer, r.time.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
}
