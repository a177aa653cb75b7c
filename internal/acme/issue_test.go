package acme

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/acme/acmetest"
)

// Names are in one certificate and addresses in another, of a shorter life, and each peer
// sees the one that it needs.
func TestNamesAndAddresses(t *testing.T) {
	for what, names := range map[string][]string{
		"a name":      {"relay.example.com"},
		"two names":   {"relay.example.com", "derp.example.com"},
		"an address":  {"127.0.0.1"},
		"one of each": {"relay.example.com", "127.0.0.1"},
	} {
		t.Run(what, func(t *testing.T) {
			l, port := listen(t)
			a, c := authority(t, acmetest.Options{TLSPort: port})
			c.Names = names
			c.Storage = NewFiles(t.TempDir())
			r := start(t, l, c)
			within(t, "all certificates", r.whole)
			for _, name := range names {
				leaf, err := r.shown(name, a.Roots)
				if err != nil {
					t.Fatalf("a peer does not trust it: %v", err)
				}
				days := leaf.NotAfter.Sub(leaf.NotBefore).Hours() / 24
				if name == "127.0.0.1" && days > 7 { // for names Pebble takes any profile
					t.Errorf("%s: %v days", name, days)
				}
			}
			within(t, "a count", func() bool { return r.Describe().Issuance.Issued == uint64(a.Orders.Load()) })
			d := r.Describe()
			if d.Failed != "" || d.Issuance.Failed != 0 || d.Issuance.Issued != uint64(a.Orders.Load()) || d.Until.IsZero() {
				t.Errorf("%+v, %+v, after %d orders", d, d.Issuance, a.Orders.Load())
			}

			// Who comes after it has them from the storage.
			again, err := Open(c)
			if err != nil || again.Missing() != "" {
				t.Errorf("the next process: %v, %q", err, again.Missing())
			}
		})
	}
}

// An IPv6 address is shown as an IPv4 address is, in the same certificate; a name beside
// them is in one of its own.
func TestIPv6(t *testing.T) {
	l, port := listen(t)
	second, err := net.Listen("tcp", fmt.Sprintf("[::1]:%d", port))
	if err != nil {
		t.Logf("this machine has no IPv6, or not that port: %v", err)
		return
	}
	a, c := authority(t, acmetest.Options{TLSPort: port})
	c.Names = []string{"::1", "relay.example.com", "127.0.0.1"}
	r := start(t, l, c)
	also := &relay{Source: r.Source, listener: second, log: r.log}
	served := make(chan struct{})
	go func() { defer close(served); also.serve() }()
	defer func() { second.Close(); <-served }()
	within(t, "all certificates", r.whole)
	within(t, "a count", func() bool { return r.Describe().Issuance.Issued == 2 })
	if n := a.Orders.Load(); n != 2 {
		t.Errorf("%d orders", n)
	}
	for name, at := range map[string]*relay{"::1": also, "127.0.0.1": r, "relay.example.com": also} {
		leaf, err := at.shown(name, a.Roots)
		if err != nil {
			t.Errorf("%s: a peer does not trust it: %v", name, err)
			continue
		}
		if addresses, names := len(leaf.IPAddresses), len(leaf.DNSNames); name == "relay.example.com" && addresses+names != 1 || name != "relay.example.com" && (addresses != 2 || names != 0) {
			t.Errorf("%s: %d addresses and %d names", name, addresses, names)
		}
		if days := leaf.NotAfter.Sub(leaf.NotBefore).Hours() / 24; name != "relay.example.com" && days > 7 {
			t.Errorf("%s: %v days", name, days)
		}
	}
}

// A process that finds good certificates asks for none, and for another one where a name
// is missing in it.
func TestWhatIsStoredIsNotAskedForAgain(t *testing.T) {
	l, port := listen(t)
	a, c := authority(t, acmetest.Options{TLSPort: port})
	c.Names, c.Storage = []string{"relay.example.com"}, NewFiles(t.TempDir())
	t.Run("the first", func(t *testing.T) { within(t, "a certificate", start(t, l, c).whole) })
	t.Run("the second", func(t *testing.T) {
		r := start(t, nil, c)
		within(t, "a look", func() bool { return r.Describe().Issuance.Next != nil })
		if a.Orders.Load() != 1 || !r.whole() {
			t.Errorf("%d orders; missing: %q", a.Orders.Load(), r.Missing())
		}
	})
	t.Run("another name", func(t *testing.T) {
		l, err := net.Listen("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Names = []string{"relay.example.com", "derp.example.com"}
		r := start(t, l, c)
		if !r.whole() {
			t.Errorf("what there is is not shown: %q", r.Missing())
		}
		within(t, "one for both", func() bool { return r.choose("derp.example.com").Leaf.VerifyHostname("derp.example.com") == nil })
	})
}

// While nobody answers the authority there is no certificate, and it says so; then the
// next try succeeds.
func TestNobodyAnswers(t *testing.T) {
	l, port := listen(t)
	l.Close()
	a, c := authority(t, acmetest.Options{TLSPort: port})
	c.Names = []string{"relay.example.com"}
	r := start(t, nil, c)
	within(t, "a refusal", func() bool { return r.Describe().Issuance.Failed > 0 })
	for _, want := range []string{"none for relay.example.com yet", "refuses", "TCP port 443 of relay.example.com"} {
		if got := r.Missing(); !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("missing %q, want %q", got, want)
		}
	}
	if d := r.Describe(); !d.Until.IsZero() || d.Leaf != nil || d.FailedAt == nil || !slices.Equal(d.Names, c.Names) {
		t.Errorf("%+v", d)
	}
	within(t, "more tries", func() bool { return r.Describe().Issuance.Failed > 2 })
	if n := strings.Count(r.log.String(), "there is no certificate yet"); n != 1 {
		t.Errorf("it was told %d times, want once: %s", n, r.log)
	}

	var err error
	if r.listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); r.serve() }()
	defer func() { r.listener.Close(); <-served }()
	within(t, "a certificate", r.whole)
	if _, err := r.shown("relay.example.com", a.Roots); err != nil {
		t.Error(err)
	}
	within(t, "no complaint", func() bool { d := r.Describe(); return d.Failed == "" && d.Missing == "" })
}

// What answers is another server than the relay.
func TestSomebodyElseAnswers(t *testing.T) {
	l, port := listen(t)
	_, c := authority(t, acmetest.Options{TLSPort: port})
	c.Names = []string{"relay.example.com"}
	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	other.Config.ErrorLog = log.New(io.Discard, "", 0)
	other.Listener.Close()
	other.Listener = l
	other.StartTLS()
	defer other.Close()
	r := start(t, nil, c)
	within(t, "a refusal", func() bool { return r.Describe().Failed != "" })
	if got := r.Missing(); !strings.Contains(got, "TCP port 443 of relay.example.com") {
		t.Errorf("it says %q", got)
	}
}

func TestExternalAccount(t *testing.T) {
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	l, port := listen(t)
	_, c := authority(t, acmetest.Options{TLSPort: port, External: map[string]string{"kid-1": key}})
	c.Names, c.Contact = []string{"relay.example.com"}, "ops@example.com"
	without := start(t, nil, c)
	within(t, "a refusal", func() bool { return without.Missing() != "" && without.Describe().Failed != "" })
	if got := without.Missing(); !strings.Contains(got, "acme.eab-key-id") {
		t.Errorf("it says %q", got)
	}
	c.Account = External{KeyID: "kid-1", Key: strings.Repeat("A", len(key))}
	wrong := start(t, nil, c)
	within(t, "a refusal", func() bool { return wrong.Describe().Failed != "" })
	if got := wrong.Missing(); !strings.Contains(got, "acme.eab-key") || strings.Contains(got, "port 443") || strings.Contains(got, "AAAA") {
		t.Errorf("with another key it says %q", got)
	}
	c.Account = External{KeyID: "kid-1", Key: key}
	within(t, "a certificate", start(t, l, c).whole)
}

// Authorities refuse nonces for nothing, which costs a repetition.
func TestRefusedNonces(t *testing.T) {
	l, port := listen(t)
	_, c := authority(t, acmetest.Options{TLSPort: port, Nonces: 30})
	c.Names = []string{"relay.example.com"}
	within(t, "a certificate", start(t, l, c).whole)
}

// What an authority may do instead of issuing, and what people are told.
func TestWrongAnswers(t *testing.T) {
	problem := func(status int, kind, detail string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"type": "urn:ietf:params:acme:error:%s", "detail": %q, "status": %d}`, kind, detail, status)
			return true
		}
	}
	for what, test := range map[string]struct {
		instead func(http.ResponseWriter, *http.Request) bool
		want    string
	}{
		"a page": {func(w http.ResponseWriter, _ *http.Request) bool {
			io.WriteString(w, "<html>\n\n<body>Welcome</body></html>")
			return true
		}, "no ACME authority"},
		"too much": {func(w http.ResponseWriter, _ *http.Request) bool {
			io.WriteString(w, `{"newNonce": "`)
			w.Write([]byte(strings.Repeat("x", mostAnswer+1)))
			return true
		}, "no ACME authority"},
		"nothing":         {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, "out of reach"},
		"slow":            {func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }, "out of reach from here, or slow"},
		"rate limited":    {problem(429, "rateLimited", "too many of\nthem"), "too many of them"},
		"CAA":             {problem(403, "caa", "no"), "CAA record"},
		"a name":          {problem(400, "rejectedIdentifier", "policy"), "whole public name"},
		"ill":             {problem(500, "serverInternal", "oops"), "tries again by itself"},
		"a strange thing": {problem(418, "teapot", "short and stout"), "short and stout (teapot)"},
	} {
		t.Run(what, func(t *testing.T) {
			a, c := authority(t, acmetest.Options{})
			a.Answer(test.instead)
			if what == "slow" {
				c.answerTime = 100 * time.Millisecond
			}
			c.Names = []string{"relay.example.com"}
			r := start(t, nil, c)
			within(t, "a failure", func() bool { return r.Describe().Issuance.Failed > 0 })
			if got := r.Missing(); !strings.Contains(got, test.want) || strings.Contains(got, "\n") {
				t.Errorf("it says %q, want %q", got, test.want)
			}
			if a.Orders.Load() != 0 {
				t.Error("something was ordered")
			}
		})
	}
}

// An authority that wants to be left alone is.
func TestRetryAfterIsKept(t *testing.T) {
	a, c := authority(t, acmetest.Options{})
	a.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, `{"type": "urn:ietf:params:acme:error:rateLimited", "status": 429, "detail": "later"}`)
		return true
	})
	c.Names = []string{"relay.example.com"}
	r := start(t, nil, c)
	within(t, "a failure", func() bool { return r.Describe().Failed != "" && r.Describe().Issuance.Next != nil })
	within(t, "the next look", func() bool { return !r.Describe().Issuance.Next.IsZero() })
	if until := r.web.until(); time.Until(until) < time.Hour {
		t.Errorf("it is asked again at %v", until)
	}
	if next := r.wanted[0].past.NotBefore; time.Until(next) < time.Hour {
		t.Errorf("the next try is at %v", next)
	}
}

// An authority that is not trusted, or not there.
func TestAuthorityOutOfReach(t *testing.T) {
	a, c := authority(t, acmetest.Options{})
	gone, _ := listen(t)
	gone.Close()
	for what, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"not trusted": {func(c *Config) { c.Roots = a.Roots }, "acme.ca"},
		"not there":   {func(c *Config) { c.Directory = "https://" + gone.Addr().String() + "/dir" }, "out of reach"},
	} {
		t.Run(what, func(t *testing.T) {
			c := c
			c.Names = []string{"relay.example.com"}
			test.change(&c)
			r := start(t, nil, c)
			within(t, "a failure", func() bool { return r.Describe().Failed != "" })
			if got := r.Missing(); !strings.Contains(got, test.want) {
				t.Errorf("it says %q, want %q", got, test.want)
			}
		})
	}
}

// A storage that cannot be written costs nothing at the authority.
func TestStorageThatFails(t *testing.T) {
	for what, test := range map[string]struct {
		err  error
		want string
	}{
		"full":     {syscall.ENOSPC, "no space left"},
		"not ours": {errDenied, "permission denied"},
		"on fire":  {errOther, "the disk is on fire"},
	} {
		t.Run(what, func(t *testing.T) {
			l, port := listen(t)
			a, c := authority(t, acmetest.Options{TLSPort: port})
			storage := &flawed{Storage: NewFiles(t.TempDir())}
			storage.tell(func(op, _ string) error {
				if op == "store" {
					return test.err
				}
				return nil
			})
			c.Names, c.Storage = []string{"relay.example.com"}, storage
			r := start(t, l, c)
			within(t, "a failure", func() bool { return r.Describe().Issuance.Failed > 1 })
			if got := r.Missing(); !strings.Contains(got, test.want) || !strings.Contains(got, "storage of certificates") {
				t.Errorf("it says %q, want %q", got, test.want)
			}
			if n := a.Orders.Load(); n != 0 {
				t.Errorf("%d orders", n)
			}
			storage.tell(nil)
			within(t, "a certificate", r.whole)
		})
	}
}

// Something else is where the storage has its files: that is told once, in the same words
// each time, and nothing is ordered.
func TestStorageIsInTheWay(t *testing.T) {
	a, c := authority(t, acmetest.Options{})
	dir := t.TempDir()
	c.Names, c.Storage = []string{"relay.example.com"}, NewFiles(dir)
	of := filepath.Join(dir, issuerKey(c.Directory))
	if err := os.Mkdir(of, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(of, "tries"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, nil, c)
	within(t, "failures", func() bool { return r.Describe().Issuance.Failed > 3 })
	if got := r.Missing(); !strings.Contains(got, "storage of certificates: ") || !strings.Contains(got, of) {
		t.Errorf("it says %q", got)
	}
	if n := strings.Count(r.log.String(), "there is no certificate yet"); n != 1 || a.Orders.Load() != 0 {
		t.Errorf("it was told %d times, with %d orders: %s", n, a.Orders.Load(), r.log)
	}
}

// What was issued is used even if it cannot be kept, and it is told.
func TestIssuedButNotKept(t *testing.T) {
	l, port := listen(t)
	a, c := authority(t, acmetest.Options{TLSPort: port})
	storage := &flawed{Storage: NewFiles(t.TempDir())}
	storage.tell(func(op, key string) error {
		if op == "store" && strings.HasSuffix(key, ".pem") {
			return syscall.ENOSPC
		}
		return nil
	})
	c.Names, c.Storage = []string{"relay.example.com"}, storage
	r := start(t, l, c)
	within(t, "a certificate", r.whole)
	within(t, "the complaint", func() bool { return strings.Contains(r.Describe().Failed, "will be lost") })
	if n := a.Orders.Load(); n != 1 {
		t.Errorf("%d orders", n)
	}

	// Once it can be kept, it is.
	storage.tell(nil)
	use, err := r.Prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	use()
	within(t, "no complaint", func() bool { return r.Describe().Failed == "" })
	next, err := Open(c)
	if err != nil || next.Missing() != "" || a.Orders.Load() != 1 {
		t.Errorf("the next process: %v, %q, after %d orders", err, next.Missing(), a.Orders.Load())
	}
}

// One relay asks, and another one of the name answers and takes over what was issued.
func TestRelaysThatShareTheirStorage(t *testing.T) {
	l, port := listen(t)
	a, c := authority(t, acmetest.Options{TLSPort: port})
	c.Names, c.Storage = []string{"relay.example.com", "127.0.0.1"}, NewFiles(t.TempDir())
	asks := start(t, nil, c)
	answers := start(t, l, c)
	within(t, "certificates of who asks", asks.whole)
	within(t, "those of who answers", func() bool {
		use, err := answers.Prepare(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		use()
		return answers.whole()
	})
	if n := a.Orders.Load(); n != 2 {
		t.Errorf("%d orders for two certificates", n)
	}
	within(t, "counts", func() bool { return asks.Describe().Issuance.Issued+answers.Describe().Issuance.Issued == 2 })
}

// A certificate is renewed well before its end. One that cannot be stays in use.
func TestRenewal(t *testing.T) {
	l, port := listen(t)
	a, c := authority(t, acmetest.Options{TLSPort: port, Life: 12 * time.Second})
	c.Names = []string{"relay.example.com"}
	c.Profile, c.First, c.Most = "default", 50*time.Millisecond, 50*time.Millisecond
	r := start(t, l, c)
	within(t, "a certificate", r.whole)
	first := r.choose("relay.example.com").Leaf
	a.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			http.Error(w, "no", http.StatusBadGateway)
		}
		return r.Method == http.MethodPost
	})
	within(t, "a failed renewal", func() bool { return r.Describe().Issuance.Failed > 0 })
	if d := r.Describe(); !d.Until.Equal(first.NotAfter) || d.Missing != "" || d.Failed == "" {
		t.Errorf("%+v", d)
	}
	if time.Now().After(first.NotAfter) {
		t.Error("it was not tried before the end")
	}
	if _, err := r.shown("relay.example.com", nil); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("the old one is not shown: %v", err)
	}
	a.Answer(nil)
	within(t, "another certificate", func() bool { return r.choose("relay.example.com").Leaf.SerialNumber.Cmp(first.SerialNumber) != 0 })
	within(t, "no complaint", func() bool { return r.Describe().Failed == "" })
}

// An authority that says of each certificate that it is to be renewed at once is not asked
// in a circle.
func TestRenewalInfoInACircle(t *testing.T) {
	l, port := listen(t)
	a, c := authority(t, acmetest.Options{TLSPort: port})
	asked := make(chan struct{}, 10)
	a.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/renewalInfo/") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		past := time.Now().Add(-time.Hour)
		fmt.Fprintf(w, `{"suggestedWindow": {"start": %q, "end": %q}}`, past.Format(time.RFC3339), past.Add(time.Minute).Format(time.RFC3339))
		select {
		case asked <- struct{}{}:
		default:
		}
		return true
	})
	c.Names = []string{"relay.example.com"}
	r := start(t, l, c)
	within(t, "a certificate", r.whole)
	within(t, "the end of a look", looked(r))
	before := r.Describe().Issuance.Next
	use, err := r.Prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	use() // the next look asks when to renew
	<-asked
	within(t, "the end of that look", func() bool { return !r.Describe().Issuance.Next.Equal(*before) })
	if n := a.Orders.Load(); n != 1 {
		t.Errorf("%d orders", n)
	}
}

// An authority asks at port 80, where somebody else listens for us.
func TestChallengeAtPort80(t *testing.T) {
	l, port := listen(t)
	a, c := authority(t, acmetest.Options{HTTPPort: port})
	c.Names, c.Challenge = []string{"relay.example.com", "127.0.0.1"}, HTTP
	r := start(t, nil, c)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !r.ServeChallenge(w, req) {
			http.NotFound(w, req)
		}
	})}
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(l) }()
	defer func() { server.Close(); <-served }()
	within(t, "certificates", r.whole)
	if n := a.Orders.Load(); n < 2 {
		t.Errorf("%d orders", n)
	}
	for _, path := range []string{"/", challengePath, challengePath + "guess"} {
		answer, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
