package tailnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// Each bad invite gets its one answer, and leaves no state file.
func TestInvitesThatDoNotCount(t *testing.T) {
	for name, c := range map[string]struct {
		invite func(f *fake) string
		want   error
	}{
		"used up":          {func(f *fake) string { return f.invite(0) }, ErrInviteUsed},
		"expired":          {func(f *fake) string { f.refuses("POST /v1/join", 403, coordapi.CodeInviteExpired); return f.invite(1) }, ErrInviteExpired},
		"another server's": {func(f *fake) string { i := f.invite(1); clear(f.invites); return i }, ErrInviteUnknown},
		"damaged":          {func(f *fake) string { return strings.Replace(f.invite(1), "a", "b", 1) }, ErrInviteDamaged},
		"no invite":        {func(f *fake) string { return "hello" }, ErrInviteDamaged},
		"none":             {func(f *fake) string { return "" }, ErrNotJoined},
		"nobody answers":   {func(f *fake) string { f.replicas[0].kill(); return f.invite(1) }, ErrUnreachable},
		"no quorum":        {func(f *fake) string { f.refuses("POST /v1/join", 503, coordapi.CodeUnavailable); return f.invite(1) }, ErrUnreachable},
		"without TLS":      {func(f *fake) string { return f.invite(1, elsewhere("http://192.0.2.1")) }, errAny},
		"not a coordinator": {func(f *fake) string {
			f.refuses("POST /v1/challenge", 404, "")
			return f.invite(1, elsewhere("http://127.0.0.9"))
		}, ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, f *fake) {
				cfg := f.config(t)
				cfg.Invite = c.invite(f)
				began := time.Now()
				m, err := Open(t.Context(), cfg)
				if err == nil {
					m.Close()
				}
				if c.want == errAny && err == nil || c.want != errAny && !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				if time.Since(began) > time.Minute {
					t.Errorf("somebody waits %v for it", time.Since(began))
				}
				if _, err := os.Stat(cfg.StateFile); err == nil && c.want != ErrUnreachable {
					t.Error("a state file is left")
				}
			})
		})
	}
}

var errAny = errors.New("any")

func elsewhere(url string) func(*coordapi.Invite) {
	return func(i *coordapi.Invite) { i.Contacts = []coordapi.Contact{{URL: url}} }
}

// An answer that is lost after the coordinator has taken the member costs no use: the key
// is kept, and asks again.
func TestAJoinThatBreaksUsesAnInviteOnce(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		cfg := f.config(t)
		cfg.Invite = f.invite(1)
		f.mu.Lock()
		f.replicas[0].loses = true
		f.mu.Unlock()
		if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrUnreachable) {
			t.Fatal(err)
		}
		without := cfg
		without.Invite = ""
		if _, err := Open(t.Context(), without); !errors.Is(err, ErrNotJoined) {
			t.Errorf("without the invite: %v", err)
		}
		f.mu.Lock()
		f.replicas[0].loses = false
		f.mu.Unlock()
		m := open(t, cfg)
		settle(t, m, Connected)
		if n := len(f.peersBut(m.Self().Key)); n != 0 {
			t.Errorf("there are %d more members", n)
		}
	})
}

// A coordinator that is behind does not know an invite that another one does.
func TestAnInviteThatOneDoesNotKnow(t *testing.T) {
	bubble(t, 2, func(t *testing.T, f *fake) {
		f.mu.Lock()
		f.replicas[0].behind = true
		f.mu.Unlock()
		m, _ := joined(t, f)
		m.Close()

		cfg := f.config(t)
		cfg.Invite = f.invite(1)
		f.replicas[1].kill()
		if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrUnreachable) || !errors.Is(err, ErrInviteUnknown) {
			t.Errorf("while the other one is away: %v", err)
		}
		if _, err := os.Stat(cfg.StateFile); err != nil {
			t.Error("the key is gone, which the other one may have taken: ", err)
		}
	})
}

// A large tailnet changes all the time, and its state file is not written all the time.
func TestALargeStateFileIsWrittenSeldom(t *testing.T) {
	m := bare()
	if rest := m.saveRest(); rest != saveTime {
		t.Errorf("a small one rests %v", rest)
	}
	for i := range coordapi.MostMembers {
		m.view.peers[key.Public{1, byte(i >> 8), byte(i), byte(i >> 16)}] = Peer{}
	}
	if rest := m.saveRest(); rest < 50*time.Second || rest > time.Minute {
		t.Errorf("the largest rests %v", rest)
	}
}

func TestAnInviteBesideAStateFile(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, cfg := joined(t, f)
		m.Close()
		joins := f.count("POST /v1/join")
		cfg.Invite = f.invite(1)
		m = open(t, cfg)
		settle(t, m, Connected)
		m.Close()
		if f.count("POST /v1/join") != joins {
			t.Error("an invite for the same tailnet was used")
		}
		cfg.Invite = f.invite(1, func(i *coordapi.Invite) { i.Tailnet = "t2" })
		if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrOtherTailnet) || !strings.Contains(err.Error(), "home") {
			t.Errorf("for another tailnet: %v", err)
		}
	})
}

// A state file that cannot be used stays as it is.
func TestStateFilesThatCannotBeUsed(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, cfg := joined(t, f)
		if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), cfg.StateFile) {
			t.Errorf("twice: %v", err)
		}
		m.Close()
		cfg.Invite = f.invite(1)
		good, err := os.ReadFile(cfg.StateFile)
		if err != nil {
			t.Fatal(err)
		}
		if info, _ := os.Stat(cfg.StateFile); info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v", info.Mode())
		}
		at := bytes.Index(good, []byte("privkey:")) + 20
		other := bytes.Clone(good)
		other[at] ^= 1
		for name, c := range map[string]struct {
			text []byte
			want error
		}{
			"empty":               {nil, ErrDamaged},
			"half":                {good[:len(good)/2], ErrDamaged},
			"another key":         {other, ErrDamaged},
			"something else":      {[]byte(`{"Regions":{}}`), ErrDamaged},
			"no coordinator":      {[]byte(strings.Replace(string(good), "coordinators", "x", 1)), ErrDamaged},
			"of a newer version":  {[]byte(strings.Replace(string(good), `"detour_member": 1`, `"detour_member": 2`, 1)), ErrNewer},
			"with another layout": {[]byte(`{"detour_member": 9, "key": 5}`), ErrNewer},
		} {
			if err := os.WriteFile(cfg.StateFile, c.text, 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := Open(t.Context(), cfg)
			if err == nil {
				m.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), cfg.StateFile) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
			if now, _ := os.ReadFile(cfg.StateFile); !bytes.Equal(now, c.text) {
				t.Errorf("%s: it was overwritten", name)
			}
		}
	})
}

func TestStateFilesWhereNoneCanBe(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		dir := t.TempDir()
		file := filepath.Join(dir, "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct{ path, want string }{
			"no path":        {"", "want a path"},
			"below a file":   {filepath.Join(file, "state.json"), "file"},
			"a directory":    {dir, "is a directory"},
			"made on demand": {filepath.Join(dir, "a", "b", "state.json"), ""},
		} {
			cfg := f.config(t)
			cfg.StateFile, cfg.Invite = c.path, f.invite(1)
			m, err := Open(t.Context(), cfg)
			if err == nil {
				m.Close()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
	})
}

// A disk that is full, or gone, while the member runs is told, and does not stop it.
func TestAStateFileThatCannotBeWritten(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		var told events
		m, cfg := joined(t, f, func(c *Config) { c.OnEvent = told.add })
		told.take()
		dir := filepath.Dir(cfg.StateFile)
		if err := os.Rename(dir, dir+".gone"); err != nil {
			t.Fatal(err)
		}
		f.put(peerNamed("anna", 900))
		time.Sleep(time.Minute)
		settle(t, m, Connected)
		if s, got := m.State(), told.take(); s.SaveErr == nil || !slices.Equal(got, []string{"peer-added anna", "not-saved"}) {
			t.Errorf("told %v, and %v", got, s.SaveErr)
		}
		sameView(t, m, f)
		if err := os.Rename(dir+".gone", dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := m.State(); s.SaveErr != nil {
			t.Error(s.SaveErr)
		}
		if text, err := os.ReadFile(cfg.StateFile); err != nil || !bytes.Contains(text, []byte("anna")) {
			t.Errorf("it was not written again: %v", err)
		}
	})
}

// The file is not written for each event.
func TestTheStateFileIsWrittenSparsely(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, cfg := joined(t, f)
		var versions, last = 0, []byte(nil)
		for i := range 300 {
			f.put(peerNamed("p", 900+i%2))
			time.Sleep(100 * time.Millisecond)
			if text, _ := os.ReadFile(cfg.StateFile); !bytes.Equal(text, last) {
				versions, last = versions+1, text
			}
		}
		if versions > 30/5+2 {
			t.Errorf("written %d times in 30 s", versions)
		}
		m.Close()
		var s saved
		if text, _ := os.ReadFile(cfg.StateFile); json.Unmarshal(text, &s) != nil || len(s.Peers) != 300 {
			t.Errorf("after Close it has %d peers", len(s.Peers))
		}
	})
}

// A key that somebody else keeps is not in the state file, which is of nobody else.
func TestAKeyThatSomebodyElseKeeps(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		own := key.NewPrivate()
		m, cfg := joined(t, f, func(cfg *Config) { cfg.Key = own })
		if m.Self().Key != own.Public() || !m.PrivateKey().Equal(own) {
			t.Errorf("it is %v, want %v", m.Self().Key, own.Public())
		}
		m.Close()
		if text, err := os.ReadFile(cfg.StateFile); err != nil || bytes.Contains(text, []byte("privkey")) {
			t.Errorf("the state file has a private key (%v):\n%s", err, text)
		}
		m = open(t, cfg)
		settle(t, m, Connected)
		m.Close()
		for name, k := range map[string]key.Private{"another": key.NewPrivate(), "none": {}} {
			cfg.Key = k
			if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrOtherKey) || !strings.Contains(err.Error(), own.Public().String()) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Who had its key in the state file keeps it there, also if it is given.
func TestAKeyThatIsInTheStateFile(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, cfg := joined(t, f)
		own := m.PrivateKey()
		m.Close()
		cfg.Key = own
		open(t, cfg).Close()
		cfg.Key = key.Private{}
		if m := open(t, cfg); !m.PrivateKey().Equal(own) {
			t.Error("it has another key")
		}
	})
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"detour_member":1,"key":"","coordinators":[{"url":"https://a","pin":"sha256-raw:00"}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseState(text)
		if err == nil && (s.Node.IsZero() || s.private.IsZero() != s.foreign || len(s.contacts) == 0) {
			t.Errorf("%q is taken without key or coordinators", text)
		}
	})
}
