package cli

import "testing"

func TestVersionForAPerson(t *testing.T) {
	built := Version{Version: "v0.9.1", Go: "go1.26.8", Platform: "linux/arm64"}
	stamped := built
	stamped.Revision, stamped.Time = "0123456789abcdef0123", "2026-11-29T12:00:01Z"
	changed := built
	changed.take("v0.9.1+dirty,0123456789abcdef0123,2026-11-29T12:00:01Z")
	for _, test := range []struct {
		is   Version
		want string
	}{
		{built, "v0.9.1 (go1.26.8, linux/arm64)"},
		{stamped, "v0.9.1 (commit 0123456789ab of 2026-11-29, go1.26.8, linux/arm64)"},
		{changed, "v0.9.1+dirty (commit 0123456789ab of 2026-11-29 with changes, go1.26.8, linux/arm64)"},
	} {
		if got := test.is.String(); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
}
