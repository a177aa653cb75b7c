package proxies

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
)

// A person who opens the relay's name sees its page: over port 80, which only knows the
// way to https, and by a browser's idea of TLS, redirects and headers.
func TestBrowserComesFromPort80(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		stand func(*testing.T) *stand
	}{
		{"the relay itself", ownTLS},
		{"behind nginx", func(t *testing.T) *stand { return begin(t, nginx, nil, nil) }},
		{"behind Caddy", func(t *testing.T) *stand { return begin(t, caddy, nil, nil) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := test.stand(t)
			page := s.browse(t, "http://"+theName+"/")
			if !strings.Contains(page, "<h1>DERP relay</h1>") || !strings.Contains(page, "encrypted from end to end") {
				t.Errorf("the page is %s", page)
			}
		})
	}
}

// A site that the relay shows in place of its page is a whole one: with its styles,
// scripts and pictures, from a directory or from the server behind.
func TestBrowserSeesTheSite(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"index.html": {Data: []byte(`<!DOCTYPE html><html><head><title>Bakery</title><link rel="stylesheet" href="/look/style.css"></head>
<body><h1>Bakery</h1><img src="look/bread.svg" width="64" height="64"><p id="said">closed</p><script src="look/open.js"></script></body></html>`)},
		"look/style.css": {Data: []byte("h1 { color: rgb(1, 2, 3) }")},
		"look/bread.svg": {Data: []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><circle cx="32" cy="32" r="30" fill="brown"/></svg>`)},
		"look/open.js": {Data: []byte(`addEventListener("load", () => {
	document.getElementById("said").textContent = "open, " + getComputedStyle(document.querySelector("h1")).color + ", " + document.images[0].naturalWidth + ", " + location.href
})`)},
	}
	const said = "open, rgb(1, 2, 3), 64, https://" + theName + "/"
	behind := httptest.NewServer(http.FileServerFS(files))
	defer behind.Close()
	for name, home := range map[string]string{"directory": "DIR/site", "server": "proxy:" + behind.URL} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			if err := os.CopyFS(s.path("site"), files); err != nil {
				t.Fatal(err)
			}
			s.serveTLS(t, "home: "+s.place(home)+"\n")
			if page := s.browse(t, "http://"+theName+"/"); !strings.Contains(page, said) {
				t.Errorf("the page is %s", page)
			}
			s.isGreen(t)
		})
	}
}

// ownTLS is a stand without a proxy: the relay has ports 443 and 80 itself.
func ownTLS(t *testing.T) *stand {
	t.Helper()
	s := newStand(t)
	s.serveTLS(t, "")
	return s
}

// serveTLS starts the relay at the stand's ports, with more settings.
func (s *stand) serveTLS(t *testing.T, more string) {
	t.Helper()
	s.startRelay(t, "listen: "+s.addr+":443\nstun: \":3478\"\nhostname: "+theName+"\ntls: {cert: "+s.path("chain.pem")+", key: "+s.path("key.pem")+"}\n"+
		"http: "+s.addr+":80\n"+more, nil)
}

// browse opens a page in a real browser, which takes the stand's certificate alone for
// good besides those that it trusts, and returns what the page has become. A picture of
// it goes into the directory that PROXIES_PICTURES names.
func (s *stand) browse(t *testing.T, url string) string {
	t.Helper()
	picture := s.path("page.png")
	args := []string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--user-data-dir=" + s.path("browser"), "--host-resolver-rules=MAP " + theName + " " + s.addr,
		"--ignore-certificate-errors-spki-list=" + s.keyHash(t), "--window-size=800,600",
	}
	page := s.chromium(t, append(args, "--dump-dom", url)...)
	s.chromium(t, append(args, "--screenshot="+picture, url)...)
	seen, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	if shown, err := png.Decode(bytes.NewReader(seen)); err != nil || shown.Bounds().Dx() != 800 {
		t.Errorf("no picture of the page: %v", err)
	}
	if dir := os.Getenv("PROXIES_PICTURES"); dir != "" {
		os.WriteFile(dir+"/"+strings.NewReplacer("/", "_", " ", "_").Replace(t.Name())+".png", seen, 0o644)
	}
	return page
}

// chromium runs the browser to its end.
func (s *stand) chromium(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium", args...)
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir, "XDG_CACHE_HOME="+s.dir)
	var page, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &page, &talk
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v (Debian: apt-get install chromium)\n%s", err, talk.String())
	}
	return page.String()
}

// keyHash is how a browser calls the stand's key.
func (s *stand) keyHash(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.path("chain.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(hash[:])
}
