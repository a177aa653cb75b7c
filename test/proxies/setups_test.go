package proxies

var setups = []setup{nginx, haproxy, caddy, apache, traefik}

var nginx = setup{
	name: "nginx", file: "nginx.conf",
	ports: []edit{{"listen 80;", "listen ADDR:80;"}, {"listen 443 ssl;", "listen ADDR:443 ssl;"}},
	edits: files,
	around: map[string]string{"main.conf": `
daemon off; user root; pid DIR/nginx.pid; worker_processes 2;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path DIR/body; proxy_temp_path DIR/proxied; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
    include DIR/nginx.conf;
}
`},
	command: []string{"nginx", "-e", "stderr", "-c", "DIR/main.conf"},
	release: []string{"nginx", "-v"},
}

var haproxy = setup{
	name: "HAProxy", file: "haproxy.cfg",
	ports:   []edit{{"bind :80", "bind ADDR:80"}, {"bind :443", "bind ADDR:443"}},
	edits:   append([]edit{{"/etc/haproxy/certs/relay.example.com.pem", "DIR/both.pem"}}, files...),
	command: []string{"haproxy", "-db", "-f", "DIR/haproxy.cfg"},
	release: []string{"haproxy", "-v"},
}

// caddy gets certificates by itself, which a test cannot have it do.
var caddy = setup{
	name: "Caddy", file: "Caddyfile",
	ports: []edit{{"\nrelay.example.com {\n", "\n{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind ADDR\n}\n" +
		"relay.example.com {\n\ttls DIR/chain.pem DIR/key.pem\n"}},
	edits:   files,
	command: []string{"caddy", "run", "--config", "DIR/Caddyfile", "--adapter", "caddyfile"},
	release: []string{"caddy", "version"},
}

var apache = setup{
	name: "Apache", file: "apache.conf",
	edits: files,
	around: map[string]string{"httpd.conf": `
ServerRoot /usr/lib/apache2
PidFile DIR/apache.pid
DefaultRuntimeDir DIR
ServerName localhost
User www-data
Group www-data
ErrorLog /dev/stderr
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule ssl_module modules/mod_ssl.so
LoadModule proxy_module modules/mod_proxy.so
LoadModule proxy_http_module modules/mod_proxy_http.so
LoadModule headers_module modules/mod_headers.so
LoadModule rewrite_module modules/mod_rewrite.so
Listen ADDR:80
Listen ADDR:443
Include DIR/apache.conf
`},
	command: []string{"apache2", "-D", "FOREGROUND", "-f", "DIR/httpd.conf"},
	release: []string{"apache2", "-v"},
}

var traefik = setup{
	name: "Traefik", file: "traefik.yaml", more: []string{"traefik-detour.yaml"},
	ports:   []edit{{`address: ":80"`, `address: "ADDR:80"`}, {`address: ":443"`, `address: "ADDR:443"`}},
	edits:   append([]edit{{"/etc/traefik/traefik-detour.yaml", "DIR/traefik-detour.yaml"}}, files...),
	command: []string{"traefik", "--configFile=DIR/traefik.yaml"},
	release: []string{"traefik", "version"},
}

// files are the edits that several setups share.
var files = []edit{
	{theChain, "DIR/chain.pem"}, {theKey, "DIR/key.pem"}, {theSockets, "DIR/"}, {theRelay, "ADDR:3340"}, {theAddress, "ADDR"},
}
