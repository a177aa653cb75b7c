package coord

import (
	"testing"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

func TestTwoMembersLearnOfEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		net := c.newTailnet("home")
		invite := c.newInvite("home", 2)
		a, b := key.NewPrivate(), key.NewPrivate()
		ja := c.join(a, invite, "Anna's Laptop")
		if ja.Name != "annas-laptop" || ja.Tailnet != net.ID || ja.TailnetName != "home" || len(ja.Addresses) != 2 {
			t.Errorf("%+v", ja)
		}
		dial, stop := c.serve()
		defer stop()
		w := watch(t, dial(), coordapi.PathWatch, ja.Session.Token, "")
		defer w.conn.Close()
		said, _ := w.until(t, coordapi.EventAt)
		same(t, said, "snapshot", "self annas-laptop", "at")

		jb := c.join(b, invite, "Anna's Laptop")
		said, at := w.until(t, coordapi.EventAt)
		same(t, said, "peer annas-laptop-2", "at")

		as[coordapi.Stored](t, c.report(jb.Session.Token, coordapi.Report{Boot: 1, Seq: 1, Home: 7}))
		e, err := w.next()
		if err != nil || e.Peer == nil || e.Peer.Home != 7 || e.Peer.Key != b.Public() {
			t.Errorf("%+v, %v", e, err)
		}
		w.conn.Close()

		again := watch(t, dial(), coordapi.PathWatch, ja.Session.Token, at.Cursor)
		defer again.conn.Close()
		said, _ = again.until(t, coordapi.EventAt)
		same(t, said, "resumed", "peer annas-laptop-2", "at")

		if r := c.admin("DELETE", "tailnets/home/members/annas-laptop-2", nil); r.status != 200 {
			t.Fatalf("%s", r.body)
		}
		said, _ = again.until(t, coordapi.EventAt)
		same(t, said, "gone", "at")
		if r := c.report(jb.Session.Token, coordapi.Report{Boot: 1, Seq: 2, Home: 8}); r.code() != coordapi.CodeNotMember {
			t.Errorf("%s", r.body)
		}
	})
}
