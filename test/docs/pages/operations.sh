echo "nodekey:$(openssl rand -hex 32)" >/etc/detour/keys
cat >/etc/detour/relay.yaml <<-END
	hostname: 10.0.0.2
	listen: 10.0.0.2:443
	tls:
	  cert: /etc/detour/relay.crt
	  key: /etc/detour/relay.key
	access:
	  keys: /etc/detour/keys
	admin: 127.0.0.1:9340
	admin-https: 10.0.0.2:9443
	admin-token: /etc/detour/admin.token
	drain: 15s
END
certificate /etc/detour/relay 10.0.0.2
run from-another-machine-1
cp /etc/detour/admin.token .
background "$base/relay.log" "exec detour relay"
ready relay "$base/relay.log" "is ready"
let sha256-raw:58c3... "sha256-raw:$(openssl x509 -in /etc/detour/relay.crt -outform DER | sha256sum | cut -d' ' -f1)"
run from-another-machine-3

before() {
	case $1 in
	0) sed -i 's/drain: 15s/drain: 30s/' /etc/detour/relay.yaml ;;
	1) echo "limitz: {in: 1Mbit/s}" >>/etc/detour/relay.yaml ;;
	esac
}
like change-a-running-relay-1
unset -f before
end

region
run test-stun-1
