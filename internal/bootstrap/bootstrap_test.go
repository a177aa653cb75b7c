package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zone is a DNS that can change. What is not in it is not there; what is an error fails.
type zone struct {
	mu    sync.Mutex
	texts map[string]string // addresses, or what a TXT record says; behind "!" an error
	asked map[string]int
}

func (z *zone) set(name, text string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.texts[name] = text
}

func (z *zone) look(ctx context.Context, name string) (string, error) {
	z.mu.Lock()
	if z.asked == nil {
		z.asked = make(map[string]int)
	}
	z.asked[name]++
	text, ok := z.texts[name]
	z.mu.Unlock()
	switch {
	case !ok:
		return "", &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case text == "hang":
		<-ctx.Done()
		return "", context.Cause(ctx)
	case strings.HasPrefix(text, "!"):
		return "", errors.New(text)
	}
	return text, nil
}

func (z *zone) LookupIP(ctx context.Context, _, name string) (ips []net.IP, err error) {
	text, err := z.look(ctx, name)
	for _, word := range strings.Fields(text) {
		ips = append(ips, net.ParseIP(word))
	}
	return ips, err
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	text, err := z.look(ctx, name)
	return strings.Split(text, "|"), err
}

var peer = netip.MustParseAddr("192.0.2.7") // whose draw is 0.4769

func start(t *testing.T, z *zone, published, unpublished []string) *Names {
	t.Helper()
	n, err := New(Config{Published: published, Unpublished: unpublished, Resolver: z})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	synctest.Wait()
	return n
}

// told is what an answer has, as name=address,address.
func told(t *testing.T, answer []byte) string {
	t.Helper()
	if len(answer) == 0 {
		return ""
	}
	var names map[string][]netip.Addr
	if err := json.Unmarshal(answer, &names); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	var all []string
	for _, name := range []string{"a.example", "b.example", "new.example"} {
		if ips, ok := names[name]; ok {
			least := ips[0]
			for _, ip := range ips {
				if ip.Less(least) {
					least = ip
				}
			}
			all = append(all, name+"="+least.String())
		}
	}
	return strings.Join(all, " ")
}

func TestWhoIsToldWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{texts: map[string]string{"a.example": "192.0.2.1 2001:db8::1", "new.example": "192.0.2.3", "rollout.example": "50"}}
		n := start(t, z, []string{"a.example", "b.example"}, []string{"new.example/rollout.example"})
		const all, one = "a.example=192.0.2.1", "new.example=192.0.2.3"
		for _, c := range []struct{ name, from, want string }{
			{"", "192.0.2.7", all},
			{"a.example", "192.0.2.7", all},
			{"nobody.example", "192.0.2.7", all},
			{"new.example", "192.0.2.7", one},
			{"new.example", "::ffff:192.0.2.7", one},
			{"new.example", "198.51.100.99", all},
		} {
			if got := told(t, n.Answer(c.name, netip.MustParseAddr(c.from))); got != c.want {
				t.Errorf("%s is told %q of %q, want %q", c.from, got, c.name, c.want)
			}
		}
		if got := told(t, n.Answer("new.example", netip.Addr{})); got != all {
			t.Errorf("somebody without address is told %q", got)
		}
	})
}

// What fails stays, what is gone is gone, and others count at once.
func TestNamesAreLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{texts: map[string]string{"a.example": "192.0.2.1", "new.example": "192.0.2.3", "rollout.example": "100"}}
		n := start(t, z, []string{"a.example"}, []string{"new.example/rollout.example"})
		wait := func() {
			time.Sleep(refreshEvery + refreshBudget)
			synctest.Wait()
		}
		expect := func(when, name, want string) {
			t.Helper()
			if got := told(t, n.Answer(name, peer)); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		z.set("a.example", "192.0.2.9")
		wait()
		expect("another address", "", "a.example=192.0.2.9")
		z.set("a.example", "!timeout")
		z.set("rollout.example", "hang")
		wait()
		expect("an error", "", "a.example=192.0.2.9")
		expect("a rollout that cannot be looked up", "new.example", "new.example=192.0.2.3")
		z.set("rollout.example", "what|0|101|-1")
		wait()
		expect("a rollout to nobody", "new.example", "a.example=192.0.2.9")
		z.mu.Lock()
		delete(z.texts, "a.example")
		z.mu.Unlock()
		wait()
		expect("a name that is gone", "", "")

		z.set("b.example", "192.0.2.2")
		apply, err := n.Prepare([]string{"b.example"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		apply()
		synctest.Wait()
		expect("other names", "new.example", "b.example=192.0.2.2")
	})
}

func TestNobodyIsAskedWithoutNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		n := start(t, z, nil, nil)
		if got := n.Answer("a.example", peer); got != nil || len(z.asked) > 0 {
			t.Errorf("%q, asked %v", got, z.asked)
		}
	})
}

// The draw is that of the reference.
func TestDraw(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "derp", "testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Rollout []struct {
			IP       netip.Addr
			Fraction float64
			Half     bool `json:"matches_50_percent"`
		} `json:"bootstrap_dns_rollout"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors.Rollout) == 0 {
		t.Fatal(err, "no vectors")
	}
	for _, v := range vectors.Rollout {
		if draw(v.IP) != v.Fraction || isAmong(v.IP, 50) != v.Half {
			t.Errorf("%v draws %v, want %v", v.IP, draw(v.IP), v.Fraction)
		}
		if !isAmong(v.IP, 100) || isAmong(v.IP, 0) {
			t.Errorf("%v is not among all, or among none", v.IP)
		}
	}
}

func TestCheck(t *testing.T) {
	for list, want := range map[string]string{
		"a.example":               "",
		"a.example/_r.b.example":  "",
		"a.example/":              "want the name of a TXT record behind the slash",
		"a.example/b/c":           "want the name of a TXT record behind the slash",
		"https://a.example":       "want a DNS name",
		"a b":                     "want a DNS name",
		"":                        "want a DNS name",
		"a.example a.example/b.c": "stands there twice",
	} {
		err := Check(strings.Split(list, " "))
		if list == "a b" {
			err = Check([]string{list})
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", list, err, want)
		}
	}
}
