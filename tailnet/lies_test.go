package tailnet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// says has the coordinator say this and then nothing.
func (f *fake) says(lines ...coordapi.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replicas[0].script = func(w io.Writer, flush func(), r *http.Request) {
		write(w, lines...)
		flush()
		<-r.Context().Done()
	}
}

// reconnect has the member ask for the stream again.
func reconnect(m *Member) {
	m.NetworkChanged()
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

func TestWhatPeersAreBelieved(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		k := key.NewPrivate().Public()
		addrs := []netip.Addr{{}, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("fe80::1%eth0"),
			netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("ff02::1"), netip.MustParseAddr("::ffff:100.64.0.2")}
		for range 20 {
			addrs = append(addrs, netip.AddrFrom4([4]byte{100, 64, 1, byte(len(addrs))}))
		}
		f.says(
			coordapi.Event{Type: coordapi.EventSnapshot},
			coordapi.Event{Type: coordapi.EventPeer},
			coordapi.Event{Type: coordapi.EventPeer, Peer: &coordapi.Peer{Name: "nobody"}},
			coordapi.Event{Type: coordapi.EventPeer, Peer: &coordapi.Peer{Key: m.Self().Key, Name: "myself"}},
			coordapi.Event{Type: coordapi.EventPeer, Peer: &coordapi.Peer{Key: k, Name: "x\x1b[2Jy", Addresses: addrs, Home: -5}},
			coordapi.Event{Type: coordapi.EventSelf, Peer: &coordapi.Peer{Key: k, Name: "another"}},
			coordapi.Event{Type: coordapi.EventGone},
			coordapi.Event{Type: "of a newer version"},
			coordapi.Event{Type: coordapi.EventAt, Cursor: "c\n1"},
		)
		reconnect(m)
		peers := m.Peers()
		if len(peers) != 1 || peers[0].Key != k || peers[0].Name != "" || peers[0].Home != 0 || len(peers[0].Addresses) != mostAddresses ||
			peers[0].Addresses[0].String() != "100.64.0.1" || peers[0].Addresses[1].String() != "100.64.0.2" {
			t.Errorf("it believes %+v", peers)
		}
		if m.Self().Name != "me" || m.view.cursor != "" {
			t.Errorf("self is %+v, cursor %q", m.Self(), m.view.cursor)
		}
	})
}

// A soft state that was lost makes nobody forget where the others are.
func TestAHomeThatIsNotToldStays(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		anna := peerNamed("anna", 900)
		f.put(anna)
		m, _ := joined(t, f)
		anna.Home = 0
		f.put(anna)
		synctest.Wait()
		f.renew("e2")
		reconnect(m)
		if p, _ := m.PeerNamed("anna"); p.Home != 900 {
			t.Errorf("her home is %d", p.Home)
		}
	})
}

func TestAMapThatIsNoneLeavesTheOneBefore(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		f.setMap(twoRegions)
		m, _ := joined(t, f)
		for _, text := range []string{`{}`, `{"Regions":{}}`, `[]`, `"map"`, `{"Regions":{"900":5}}`, `null`} {
			f.setMap(text)
			synctest.Wait()
			if s := m.State(); m.Map() == nil || len(m.Map().IDs()) != 2 || s.MapErr == nil || s.Phase != Connected {
				t.Errorf("%s: map %v, state %+v", text, m.Map(), s)
			}
		}
		f.setMap(twoRegions)
		synctest.Wait()
		if s := m.State(); s.MapErr != nil {
			t.Error(s.MapErr)
		}
	})
}

func TestATailnetHasABound(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		f.mu.Lock()
		f.replicas[0].script = func(w io.Writer, flush func(), r *http.Request) {
			write(w, coordapi.Event{Type: coordapi.EventSnapshot})
			for i := range uint32(coordapi.MostMembers + 1000) {
				var k key.Public
				binary.BigEndian.PutUint32(k[:], i+1)
				fmt.Fprintf(w, "{\"type\":\"peer\",\"peer\":{\"key\":%q,\"name\":\"p%d\"}}\n", k, i)
			}
			write(w, coordapi.Event{Type: coordapi.EventAt, Cursor: "c"})
			flush()
			<-r.Context().Done()
		}
		f.mu.Unlock()
		reconnect(m)
		if n := len(m.Peers()); n != coordapi.MostMembers {
			t.Errorf("%d peers", n)
		}
	})
}

// Snapshots that begin and never end do not add up.
func TestSnapshotsWithoutEndHaveABound(t *testing.T) {
	m := bare()
	var k key.Public
	for i := range uint32(5 * coordapi.MostMembers) {
		if i%(coordapi.MostMembers-1) == 0 {
			m.take(coordapi.Event{Type: coordapi.EventSnapshot})
		}
		binary.BigEndian.PutUint32(k[:], i+1)
		m.take(coordapi.Event{Type: coordapi.EventPeer, Peer: &coordapi.Peer{Key: k}})
	}
	if n := len(m.view.peers); n > 2*coordapi.MostMembers {
		t.Errorf("%d peers", n)
	}
}

// A session that cannot stand in a request is none: the one before counts, or another is
// asked for.
func TestSessionsThatAreNone(t *testing.T) {
	for name, token := range map[string]string{"two lines": "a\r\nb", "too long": strings.Repeat("a", 1<<20), "not ASCII": "\x00é"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, f *fake) {
				anna := peerNamed("anna", 900)
				f.put(anna)
				m, _ := joined(t, f)
				f.says(coordapi.Event{Type: coordapi.EventSnapshot}, coordapi.Event{Type: coordapi.EventSession, Session: &coordapi.Session{Token: token}},
					coordapi.Event{Type: coordapi.EventAt, Cursor: "c"})
				reconnect(m)
				if _, err := m.Ask(t.Context(), anna.Key); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestLinesThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":         "hello\n",
		"a page":          "<html>please log in</html>\n",
		"a line too long": strings.Repeat(" ", coordapi.MostLine+1) + "{}\n",
		"no end":          strings.Repeat("[", 2*coordapi.MostLine),
		"another shape":   "[1,2]\n",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, f *fake) {
				f.put(peerNamed("anna", 900))
				m, _ := joined(t, f)
				f.mu.Lock()
				f.replicas[0].script = func(w io.Writer, flush func(), r *http.Request) {
					io.WriteString(w, text)
					flush()
					<-r.Context().Done()
				}
				f.mu.Unlock()
				reconnect(m)
				if s := m.State(); s.Phase != Away || s.Err == nil || len(s.Err.Error()) > 200 {
					t.Errorf("state is %+v", s)
				}
				sameView(t, m, f)
			})
		})
	}
}

// A line that comes byte by byte is silence.
func TestADripIsSilence(t *testing.T) {
	bubble(t, 2, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		f.mu.Lock()
		f.replicas[0].script = func(w io.Writer, flush func(), r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, " ")
				flush()
				select {
				case <-r.Context().Done():
				case <-time.After(5 * time.Second):
				}
			}
		}
		f.mu.Unlock()
		reconnect(m)
		time.Sleep(coordapi.SilenceTime)
		settle(t, m, Connected)
		if at := m.State().Coordinator; at != "http://127.0.0.2" {
			t.Errorf("it is at %s", at)
		}
	})
}

func TestAnAnswerWithoutEnd(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		f.mu.Lock()
		f.replicas[0].floods = true
		f.mu.Unlock()
		if _, err := m.Ask(t.Context(), key.NewPrivate().Public()); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Error(err)
		}
	})
}

// What a coordinator says in a refusal is one line that a terminal can show.
func TestRefusalsAreClean(t *testing.T) {
	body, _ := json.Marshal(coordapi.Error{Code: "x", Message: "a\x1b[31m\nb" + strings.Repeat("c", 1000)})
	answer := &http.Response{StatusCode: 403, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
	if text := refused(answer).Error(); strings.ContainsAny(text, "\x1b\n") || len(text) > 300 {
		t.Errorf("%q", text)
	}
}

// Whatever a coordinator says, nothing breaks, and the view keeps to its bounds.
func FuzzLines(f *testing.F) {
	for _, e := range []coordapi.Event{
		{Type: coordapi.EventSnapshot}, {Type: coordapi.EventAt, Cursor: "c"}, {Type: coordapi.EventPeer, Peer: &coordapi.Peer{Key: key.Public{1}, Name: "a"}},
		{Type: coordapi.EventMap, Map: json.RawMessage(twoRegions)}, {Type: coordapi.EventSession, Session: new(coordapi.Session)},
	} {
		line, _ := json.Marshal(e)
		f.Add(append(line, '\n'))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := bare()
		s := &stream{silence: time.NewTimer(time.Hour)}
		s.lines = newLines(bytes.NewReader(text))
		for {
			e, err := s.next()
			if err != nil || m.take(e) != nil {
				break
			}
		}
		for _, p := range m.Peers() {
			if p.Key.IsZero() || p.Name != cleanName(p.Name) || p.Home < 0 || len(p.Addresses) > mostAddresses {
				t.Errorf("it believes %+v", p)
			}
		}
	})
}
