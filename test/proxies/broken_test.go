package proxies

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// A wrong line in a proxy's configuration is told by `detour check` with the proxy's name
// and the line.
func TestCheckNamesTheLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		setup  setup
		proxy  []edit
		relay  []edit
		hold   string
		check  string
		detail string
		remedy string
	}{
		{"nginx, no upgrade", nginx, []edit{
			{`        proxy_set_header Upgrade $http_upgrade;` + "\n", ""}, {`        proxy_set_header Connection "upgrade";` + "\n", ""},
		}, nil, "", "upgrade", "without its Upgrade header", `have nginx pass .*proxy_http_version 1\.1; proxy_set_header Upgrade \$http_upgrade; proxy_set_header Connection "upgrade";`},
		{"nginx, no Connection", nginx, []edit{{`        proxy_set_header Connection "upgrade";` + "\n", ""}},
			nil, "", "websocket", "without Connection: Upgrade", `nginx .*proxy_set_header Connection "upgrade";`},
		{"nginx, HTTP/1.0", nginx, []edit{{`proxy_http_version 1.1`, "proxy_http_version 1.0"}},
			nil, "", "websocket", "asked in HTTP/1.0", `nginx .*proxy_http_version 1\.1;`},
		{"nginx, another path", nginx, []edit{{nginxPass, "    location / { proxy_pass http://127.0.0.1:3340/relay/;"}},
			nil, "", "upgrade", "another path than /derp", `nginx .*nothing behind the port`},
		{"nginx, shorter path", nginx, []edit{{nginxPass, "    location /derp { proxy_pass http://127.0.0.1:3340/;"}},
			nil, "", "upgrade", "another path than /derp", `nginx .*nothing behind the port`},
		{"nginx, no address", nginx, []edit{{`        proxy_set_header X-Forwarded-For $remote_addr;` + "\n", ""}},
			nil, "", "upgrade", "the relay believes nginx, .*does not say whom it brings", `proxy_set_header X-Forwarded-For \$remote_addr;`},
		{"nginx, two addresses", nginx, []edit{{`Forwarded "";  `, `Forwarded "for=192.0.2.9";  `}},
			nil, "", "upgrade", "the relay believes nginx, .*different peers", `proxy_set_header Forwarded "";`},
		{"nginx, no relay", nginx, []edit{{theRelay, "127.0.0.1:3341"}},
			nil, "", "upgrade", "502: nginx does not reach the relay", `start the relay, have nginx .*proxy_pass`},
		{"nginx, idle", nginx, []edit{{`proxy_read_timeout 1h`, "proxy_read_timeout 5s"}},
			nil, "30s", "hold", "cut after", `nginx .*proxy_read_timeout 1h`},
		{"nginx, WebSocket only", nginx, []edit{{"    location / {  ", "    if ($http_upgrade = DERP) { return 403; }\n    location / {  "}},
			nil, "", "upgrade", "refuses Upgrade: DERP, while WebSocket passes: HTTP status 403", `nginx .*proxy_set_header Upgrade`},
		{"nginx, port 80", nginx, []edit{{"    location = /generate_204 { ", "    location = /generate_205 { "}},
			nil, "", "port80", "a redirect", `nginx .*location = /generate_204`},
		{"HAProxy, not believed", haproxy, nil, []edit{{"trusted-proxies: [127.0.0.1]\nproxy-header: required\n", ""}},
			"", "upgrade", "400: the relay cannot read what is sent", `PROXY header .*trusted-proxies`},
		{"HAProxy, no header", haproxy, []edit{{" send-proxy-v2", ""}},
			nil, "", "upgrade", "502: HAProxy does not reach the relay", `HAProxy .*server relay 127.0.0.1:3340 send-proxy-v2`},
		{"HAProxy, idle", haproxy, []edit{{"timeout tunnel 1h", "timeout tunnel 5s"}},
			nil, "30s", "hold", "cut after", `HAProxy: timeout tunnel`},
		{"HAProxy, HTTP/2 only", haproxy, []edit{{"relay.example.com.pem", "relay.example.com.pem proto h2 alpn h2"}},
			nil, "", "upgrade", "speaks HTTP/2 only", `offer HTTP/1\.1`},
		{"HAProxy, another path", haproxy, []edit{{"backend relay\n", "backend relay\n    http-request set-path /x%[path]\n"}},
			nil, "", "upgrade", "another path than /derp", `pass the path on as it is`},
		{"HAProxy, switched off", haproxy, []edit{{theRelay, theRelay + " disabled"}},
			nil, "", "upgrade", "503: HAProxy does not reach the relay", `start the relay`},
		{"Caddy, another path", caddy, []edit{{"	reverse_proxy unix//run/detour/relay.sock {\n", "	uri strip_prefix /derp\n	reverse_proxy unix//run/detour/relay.sock {\n"}},
			nil, "", "upgrade", "another path than /derp", `Caddy .*handle in place of handle_path`},
		{"Caddy, no relay", caddy, []edit{{"relay.sock", "other.sock"}},
			nil, "", "upgrade", "502: Caddy does not reach the relay", `Caddy .*reverse_proxy`},
		{"Caddy, no upgrade", caddy, []edit{{"header_up -Forwarded", "header_up -Upgrade"}},
			nil, "", "upgrade", "without its Upgrade header", `Caddy .*without header_up -Upgrade`},
		{"Apache, no upgrade", apache, []edit{{" upgrade=ANY", ""}},
			nil, "", "upgrade", "without its Upgrade header", `Apache .*upgrade=ANY`},
		{"Apache, WebSocket only", apache, []edit{{" upgrade=ANY", " upgrade=websocket"}},
			nil, "", "upgrade", "refuses Upgrade: DERP, while WebSocket passes", `Apache .*upgrade=ANY`},
		{"Apache, another path", apache, []edit{{"ProxyPass / http://127.0.0.1:3340/ upgrade", "ProxyPass / http://127.0.0.1:3340/x/ upgrade"}},
			nil, "", "upgrade", "another path than /derp", `Apache .*nothing behind the last /`},
		{"Apache, no relay", apache, []edit{{theRelay, "127.0.0.1:3341"}},
			nil, "", "upgrade", "503: Apache does not reach the relay", `Apache .*ProxyPass`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := begin(t, test.setup, test.proxy, test.relay)
			var hold []string
			if test.hold != "" {
				hold = []string{"--hold", test.hold}
			}
			checks, status := s.checks(t, hold...)
			at := slices.IndexFunc(checks, func(c found) bool { return c.Name == test.check })
			if at < 0 || status != 1 {
				t.Fatalf("exit status %d: %+v", status, checks)
			}
			c := checks[at]
			if c.Status != "fail" || !regexp.MustCompile(test.detail).MatchString(c.Detail) || !regexp.MustCompile(test.remedy).MatchString(c.Remedy) {
				t.Errorf("%s: %s %s\n-> %s\nwant %s\n-> %s", c.Name, c.Status, c.Detail, c.Remedy, test.detail, test.remedy)
			}
		})
	}
}

// nginxPass is where nginx is told the relay.
const nginxPass = "    location / {                            # no path behind the port of proxy_pass\n        proxy_pass http://127.0.0.1:3340;"

// That the relay takes everybody for the proxy breaks nothing, so only who has the mesh key
// can see it from outside.
func TestCheckSeesThatAllAreTheProxy(t *testing.T) {
	t.Parallel()
	const elsewhere = "127.0.0.2:3340"
	for _, test := range []struct {
		name   string
		relay  []edit
		status string
		detail string
		remedy string
	}{
		{"believed", nil, "ok", "", ""},
		{"not believed", []edit{{"trusted-proxies: [127.0.0.1]\n", ""}}, "warn", "coming from 127.0.0.1, which is its own machine",
			`trusted-proxies, and have nginx .*X-Forwarded-For`},
	} {
		t.Run(test.name, func(t *testing.T) {
			const mesh = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
			file := filepath.Join(t.TempDir(), "mesh.key")
			if err := os.WriteFile(file, []byte(mesh+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := begin(t, nginx, []edit{{theRelay, elsewhere}}, append([]edit{
				{theRelay, elsewhere}, {"hostname:", "mesh: {key-file: " + file + "}\nhostname:"},
			}, test.relay...))
			// Whom our own machine connects to it seems to come from the same address; not here.
			route := exec.Command("ip", "route", "replace", "local", s.addr, "dev", "lo", "table", "local", "src", s.from)
			if out, err := route.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			checks, _ := s.checks(t, "--mesh-psk-file", file)
			at := slices.IndexFunc(checks, func(c found) bool { return c.Name == "meshkey" })
			if at < 0 {
				t.Fatalf("%+v", checks)
			}
			c := checks[at]
			if c.Status != test.status || !regexp.MustCompile(test.detail).MatchString(c.Detail) || !regexp.MustCompile(test.remedy).MatchString(c.Remedy) {
				t.Errorf("%+v", c)
			}
		})
	}
}
