package membercmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPacketsComeBack(t *testing.T) {
	for _, size := range []int{headerLen, load.MinSize, 1400, load.MaxSize} {
		for _, p := range []packet{{kindPing, 1, 2}, {kindPong, 1 << 63, 0}} {
			b := p.make(size)
			if got, ok := parsePacket(b); len(b) != size || !ok || got != p {
				t.Errorf("%d bytes: %+v, %t", len(b), got, ok)
			}
			if b[len(b)-1] ^= 1; size > headerLen {
				if _, ok := parsePacket(b); ok {
					t.Errorf("%d bytes: a damaged one counts", size)
				}
			}
		}
	}
}

func FuzzParsePacket(f *testing.F) {
	f.Add(packet{kindPing, 1, 2}.make(64))
	f.Add([]byte("DTRping"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parsePacket(b)
		if ok && !bytes.Equal(p.make(len(b)), b) {
			t.Errorf("%q is read as %+v", b, p)
		}
	})
}

// Each tailnet has a file of its own, wherever an invite says that it leads.
func TestStatePath(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("STATE_DIRECTORY", dir)
	invite := func(tailnet string) string {
		text, err := coordapi.Invite{Tailnet: tailnet, Contacts: []coordapi.Contact{{URL: "https://a.example"}}}.Text()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, c := range map[string]struct{ given, invite, want string }{
		"given":          {"x.json", invite("t1"), "x.json"},
		"by the invite":  {"", invite("t1"), filepath.Join(dir, "member-t1.json")},
		"elsewhere":      {"", invite("../../etc/x"), ""},
		"without an ID":  {"", invite(""), ""},
		"damaged invite": {"", "detour1", ""},
		"none":           {"", "", ""},
	} {
		got, err := statePath(c.given, c.invite)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
	for i, tailnet := range []string{"t1", "t2"} {
		if err := os.WriteFile(filepath.Join(dir, "member-"+tailnet+".json"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := statePath("", "")
		if (err == nil) != (i == 0) || i == 0 && got != filepath.Join(dir, "member-t1.json") {
			t.Errorf("%d files: %q, %v", i+1, got, err)
		}
		if i == 1 && !strings.Contains(err.Error(), "several tailnets") {
			t.Error(err)
		}
	}
}
