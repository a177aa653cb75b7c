package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// stamp is VERSION,COMMIT,TIME, which "make release" has the linker write here, since what
// the Go tool records depends on how the commit came to the machine; empty: what it has
// recorded counts. Only a package's variable can be set that way.
var stamp string

// Version is what was recorded about this binary when it was built. The JSON names
// are stable.
type Version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// ReadVersion returns it.
func ReadVersion() Version {
	v := Version{
		Version:  "unknown",
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	v.take(stamp)
	return v
}

// take has a stamp count.
func (v *Version) take(stamp string) {
	if f := strings.Split(stamp, ","); len(f) == 3 {
		v.Version, v.Revision, v.Time = f[0], f[1], f[2]
		v.Modified = strings.HasSuffix(v.Version, "+dirty")
	}
}

// String is for a person: the version, the commit and its day where they are known, and
// what it was built with.
func (v Version) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (", v.Version)
	if v.Revision != "" {
		fmt.Fprintf(&b, "commit %.12s", v.Revision)
		if day, _, _ := strings.Cut(v.Time, "T"); day != "" {
			fmt.Fprintf(&b, " of %s", day)
		}
		if v.Modified {
			b.WriteString(" with changes")
		}
		b.WriteString(", ")
	}
	fmt.Fprintf(&b, "%s, %s)", v.Go, v.Platform)
	return b.String()
}
