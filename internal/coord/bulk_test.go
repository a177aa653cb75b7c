package coord

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// exported makes an export of so many tailnets with so many members each.
func exported(nets, members int) (lines []string) {
	add := func(v any) {
		text, _ := json.Marshal(v)
		lines = append(lines, string(text))
	}
	add(exportHeader{Format: exportFormat})
	for n := range nets {
		id := fmt.Sprintf("net%d", n)
		add(exportLine{Tailnet: &exportTailnet{id, coordstate.TailnetRecord{Name: id, ULA: fmt.Sprintf("%010x", n), Next: 1}}})
		for m := range members {
			rec := coordstate.MemberRecord{Name: fmt.Sprintf("m%d", m), Index: uint32(m + 1), Joined: 1}
			add(exportLine{Member: &exportMember{id, key.NewPrivate().Public(), rec}})
		}
	}
	add(exportLine{End: &exportEnd{nets, nets * members}})
	return lines
}

// imports hands lines to a coordinator.
func (c *coordinator) imports(lines []string) reply {
	return c.admin("POST", "import", []byte(strings.Join(lines, "\n")+"\n"))
}

// exports is what a coordinator exports, without what differs each time.
func (c *coordinator) exports() []string {
	lines := strings.Split(strings.TrimSpace(string(c.admin("GET", "export", nil).body)), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, `{"secret"`) || strings.HasPrefix(l, `{"detour_export"`)
	})
	slices.Sort(lines)
	return lines
}

func TestAnImportBringsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, coordstore.NewMemory(), nil).ready()
		defer a.stop()
		lines := exported(mostBulkNets+3, 5)
		got := as[coordapi.Imported](t, a.imports(lines))
		want := coordapi.Imported{Tailnets: mostBulkNets + 3, Members: 5 * (mostBulkNets + 3)}
		if got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
		if joined := a.join(key.NewPrivate(), a.newInvite("net0", 1), "m0"); joined.Name != "m0-2" || joined.Addresses[0].String() != "100.64.0.6" {
			t.Errorf("who joins afterwards is %+v", joined)
		}
		again := as[coordapi.Imported](t, a.imports(lines))
		if again.Tailnets != 0 || again.Members != 0 || again.Kept != want.Tailnets+want.Members {
			t.Errorf("once more: %+v", again)
		}

		b := start(t, coordstore.NewMemory(), nil).ready()
		defer b.stop()
		as[coordapi.Imported](t, b.imports(strings.Split(strings.TrimSpace(string(a.admin("GET", "export", nil).body)), "\n")))
		if is, was := b.exports(), a.exports(); !slices.Equal(is, was) {
			t.Errorf("%d lines of the export came back as %d", len(was), len(is))
		}
	})
}

// An export whose end is missing is taken as far as it goes, and said not to be whole:
// nobody shall find out by the members that are not there.
func TestAnImportWithoutEnd(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		lines := exported(1, 5)
		r := c.imports(lines[:5])
		if r.code() != coordapi.CodeBadRequest || !bytes.Contains(r.body, []byte("breaks off before its end")) {
			t.Errorf("%d %s", r.status, r.body)
		}
		if got := as[coordapi.Imported](t, c.imports(lines)); got.Members != 2 || got.Kept != 4 {
			t.Errorf("the whole one brings %+v", got)
		}
	})
}

// What was cut off is done again by the same import, and nobody is there twice.
func TestAnImportThatWasCutOff(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		lines := exported(2, 20)
		broken := append(slices.Clone(lines[:30]), `{"member":`)
		if r := c.imports(broken); r.code() != coordapi.CodeBadRequest || !bytes.Contains(r.body, []byte("line 31")) {
			t.Fatalf("%d %s", r.status, r.body)
		}
		for _, l := range lines[2:10] { // records of members that an earlier one has left
			var left exportLine
			json.Unmarshal([]byte(l), &left)
			m := left.Member
			m.Name += "-old"
			if _, err := c.store.Create(t.Context(), coordstore.Hard, coordstate.MemberKey(m.Tailnet, m.Key), coordstate.Encode(m.MemberRecord)); err != nil {
				t.Fatal(err)
			}
		}
		if got := as[coordapi.Imported](t, c.imports(lines)); got.Tailnets != 2 || got.Members != 40 {
			t.Fatalf("%+v", got)
		}
		for _, m := range c.state.Members("net0") {
			if strings.HasSuffix(m.Name, "-old") {
				t.Errorf("%s is as it was left", m.Name)
			}
		}
	})
}

func TestImportsThatCannotBe(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		lines := exported(1, 2)
		var first exportLine
		json.Unmarshal([]byte(lines[2]), &first)
		twice := *first.Member
		twice.Key = key.NewPrivate().Public()
		same, _ := json.Marshal(exportLine{Member: &twice})
		for name, bad := range map[string][]string{
			"no header":        lines[1:],
			"nothing":          {""},
			"a tailnet twice":  append(slices.Clone(lines), lines[1]),
			"a name twice":     append(slices.Clone(lines), string(same)),
			"nobody":           append(slices.Clone(lines), `{"member":{"tailnet":"net0","n":"x","i":9}}`),
			"no such address":  append(slices.Clone(lines), `{"member":{"tailnet":"net0","key":"`+twice.Key.String()+`","n":"x","i":0}}`),
			"a tailnet's name": {lines[0], `{"tailnet":{"id":"x","name":"a b"}}`},
		} {
			if r := c.imports(bad); r.code() != coordapi.CodeBadRequest {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
		if n := c.state.Totals().Tailnets; n != 0 {
			t.Errorf("%d tailnets came of them", n)
		}
	})
}
