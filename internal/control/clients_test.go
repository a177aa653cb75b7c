package control

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/relay"
)

// manyPeers have all that a connection may have.
func manyPeers(n int) (all []relay.PeerState) {
	for i, k := range newKeys(n) {
		all = append(all, relay.PeerState{
			ID: uint64(i + 1), Peer: k, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 1000), Since: time.Unix(int64(i), 0).UTC(), Used: time.Unix(9, 0).UTC(),
			AppName: "app", IdealNode: "b", Group: "staff", Until: time.Unix(99, 0).UTC(), Home: true, Sibling: true, Prober: true, Duplicate: true, Queued: 1, Received: 2, Sent: 3,
			Limits: relay.Limits{}, Resting: true, LimitedMS: 4, Version: 2, ReceivedPackets: 5, SentPackets: 6, Dropped: relay.Traffic{Packets: 7, Bytes: 8},
			RoundTrip: 9, Waited: 10, Senders: 11, Active: true,
		})
	}
	return all
}

// A page leads to the next, and a connection is there with all that it has.
func TestClientsAreAPageAtATime(t *testing.T) {
	all := manyPeers(7)
	c := at(t, New(Config{Peers: &crowd{all: all}}))
	q := url.Values{"sort": {"-conn"}, "limit": {"3"}, "label": {"staff"}}
	var got []relay.PeerState
	for {
		page, err := c.Clients(t.Context(), q)
		if err != nil || page.Conns != 7 || page.Keys != 7 || page.At.IsZero() {
			t.Fatalf("%+v, %v", page, err)
		}
		for _, p := range page.Clients {
			got = append(got, p.State())
		}
		if page.Next == "" {
			break
		}
		if q, err = url.ParseQuery(strings.TrimPrefix(page.Next, "?")); err != nil || q.Get("label") != "staff" {
			t.Fatalf("next is %q: %v", page.Next, err)
		}
	}
	slices.Reverse(got)
	if !slices.Equal(got, all) {
		t.Errorf("%+v\nwant %+v", got, all)
	}
}

// What is wrong with a query is said, at the socket and at the admin address.
func TestClientsRefuseWhatTheyCannotRead(t *testing.T) {
	c := at(t, New(Config{Peers: &crowd{}}))
	_, err := c.Clients(t.Context(), url.Values{"sort": {"weight"}})
	wantError(t, err, http.StatusBadRequest, `sort "weight": choose key, ip`)
	w := httptest.NewRecorder()
	ServeClients(w, httptest.NewRequest(http.MethodGet, PathAdminClients+"?network=x", nil), (&crowd{}).Peers)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "want a network such as") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	ServeClients(w, httptest.NewRequest(http.MethodGet, PathAdminClients, nil), (&crowd{}).Peers)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"conns":0,"keys":0,"remaining":0,"clients":[]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
