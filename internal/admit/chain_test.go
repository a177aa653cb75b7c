package admit

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/relay"
)

func TestChainGoesByItsOrder(t *testing.T) {
	listed, allowed, banned, gone, stranger := k(1), k(2), k(3), k(4), k(5)
	access := keysFile(t, listed.String()+" label=staff\n"+banned.String()+"\n"+gone.String()+" until=2020-01-31\n")
	access.DenyApps = []string{"bad app"}
	c := newChain(t, Config{Access: access})
	for _, err := range []error{c.Allow(Entry{Key: allowed, Label: "guests"}), c.Ban(Ban{Key: banned, Why: "noise"})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	bad := applicant(listed)
	bad.Info.AppName = "bad app"
	for _, want := range []struct {
		of     relay.Applicant
		source string
		why    Reason
	}{
		{applicant(listed), SourceKeys, ""},
		{applicant(allowed), SourceManaged, ""},
		{applicant(banned), SourceBan, Banned},
		{bad, SourceApp, DeniedApp},
		{applicant(gone), SourceKeys, Ended},
		{applicant(stranger), SourceNone, Unknown},
	} {
		if source, why := outcome(c, want.of); source != want.source || why != want.why {
			t.Errorf("%v: %s %q, want %s %q", want.of.Peer.Short(), source, why, want.source, want.why)
		}
	}
	a, err := c.Admit(context.Background(), applicant(listed))
	if err != nil || a.Group != "staff" || !a.Until.IsZero() {
		t.Errorf("%+v, %v", a, err)
	}
	if err := c.Update(Config{Access: config.Access{Everyone: true}}); err != nil {
		t.Fatal(err)
	}
	if source, _ := outcome(c, applicant(stranger)); source != SourceEveryone {
		t.Errorf("with everyone: %s", source)
	}
	if source, _ := outcome(c, applicant(banned)); source != SourceBan {
		t.Errorf("a ban beats everyone, yet %s", source)
	}
}

func TestBookOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	c := newChain(t, Config{StateDir: dir, Access: config.Access{Managed: true}})
	for _, err := range []error{
		c.Allow(Entry{Key: k(1), Label: "a", Until: until}),
		c.Ban(Ban{Key: k(2), Until: until, Why: "noise"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Import("tailnet", []Entry{{Key: k(3), Name: "laptop"}, {Key: k(4)}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var all []Entry
		for e := range c.Entries {
			all = append(all, e)
		}
		want := []Entry{{Key: k(1), Label: "a", Until: until, From: "allow"}, {Key: k(3), Name: "laptop", From: "import tailnet"}, {Key: k(4), From: "import tailnet"}}
		if len(all) != 3 || all[0] != want[0] || all[1] != want[1] || all[2] != want[2] {
			t.Errorf("entries %+v, want %+v", all, want)
		}
		if bans := c.Bans(); len(bans) != 1 || bans[0].Key != k(2) || bans[0].Why != "noise" || bans[0].Since.IsZero() {
			t.Errorf("bans %+v", bans)
		}
		c = newChain(t, Config{StateDir: dir, Access: config.Access{Managed: true}})
	}
}

func TestImportSaysWhatCameAndWent(t *testing.T) {
	c := newChain(t, Config{Access: config.Access{Managed: true}})
	first, err := c.Import("net", []Entry{{Key: k(1)}, {Key: k(2)}, {Key: k(3)}})
	if err != nil || len(first.Came) != 3 || len(first.Went) != 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := c.Import("net", []Entry{{Key: k(2)}, {Key: k(3), Label: "x"}, {Key: k(4)}})
	if err != nil || len(second.Came) != 1 || second.Came[0].Key != k(4) || len(second.Went) != 1 || second.Went[0].Key != k(1) || len(second.Changed) != 1 || second.Same != 1 {
		t.Errorf("%+v, %v", second, err)
	}
	if _, err := c.Import("net", nil); !errors.Is(err, ErrEmptyImport) {
		t.Errorf("an empty import: %v", err)
	}
	if _, err := c.Import("other", []Entry{{Key: k(2)}}); err != nil {
		t.Fatal(err)
	}
	if done, err := c.Clear("net"); err != nil || len(done.Went) != 3 {
		t.Errorf("%+v, %v", done, err)
	}
	if source, _ := outcome(c, applicant(k(2))); source != SourceManaged {
		t.Errorf("another set has the key, yet %s", source)
	}
}

// What is wrong with one of many changes is told at its place, and the others are made;
// what cannot be kept is wrong with each.
func TestEditsAreToldApart(t *testing.T) {
	dir := t.TempDir()
	c := newChain(t, Config{StateDir: dir})
	if _, err := c.Import("net", []Entry{{Key: k(1)}, {Key: k(2)}, {Key: k(3)}}); err != nil {
		t.Fatal(err)
	}
	errs := c.Edit(Removing(k(1)), Removing(k(9)), Removing(k(2)))
	if errs[0] != nil || !errors.Is(errs[1], ErrNotListed) || errs[2] != nil {
		t.Errorf("%v", errs)
	}
	again := newChain(t, Config{StateDir: dir})
	for _, c := range []*Chain{c, again} {
		if got := slices.Collect(c.Entries); len(got) != 1 || got[0].Key != k(3) {
			t.Errorf("%+v are left", got)
		}
	}
	if errs := c.Edit(Unbanning(k(3)), Unbanning(k(4))); !errors.Is(errs[0], ErrNotListed) || !errors.Is(errs[1], ErrNotListed) {
		t.Errorf("nothing to be done: %v", errs)
	}
	if errs := c.Edit(); len(errs) != 0 {
		t.Errorf("no edits: %v", errs)
	}
	c.shelf.path = filepath.Join(dir, managedName, "below a file")
	for i, err := range c.Edit(Banning(Ban{Key: k(3)}), Banning(Ban{Key: k(4), Why: "a\nb"}), Banning(Ban{Key: k(5)})) {
		if err == nil {
			t.Errorf("edit %d is made, and not kept", i)
		}
	}
	if bans := c.Bans(); len(bans) > 0 {
		t.Errorf("banned: %+v", bans)
	}
}
