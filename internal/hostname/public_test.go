package hostname

import "testing"

func TestCheckPublic(t *testing.T) {
	for host, public := range map[string]bool{
		"": true, "relay.example.com": true, "203.0.113.7": true, "2001:db8::7": true,
		"localhost": false, "relay": false, "relay.local": false, "relay.internal": false,
		"127.0.0.1": false, "10.1.2.3": false, "192.168.0.1": false, "fd00::1": false, "fe80::1": false, "::1": false,
	} {
		if err := CheckPublic(host); (err == nil) != public {
			t.Errorf("%q: %v", host, err)
		}
	}
}
