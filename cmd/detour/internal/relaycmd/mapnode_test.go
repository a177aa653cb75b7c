package relaycmd

import "testing"

func TestMapNode(t *testing.T) {
	for _, c := range []struct {
		host, pin  string
		port, stun uint16
		want       string
	}{
		{"relay.example", "sha256-raw:ab", 443, 3478, `{"Name":"900a","RegionID":900,"HostName":"relay.example","CertName":"sha256-raw:ab"}`},
		{"192.0.2.7", "sha256-raw:ab", 8443, 0, `{"Name":"900a","RegionID":900,"HostName":"192.0.2.7","CertName":"sha256-raw:ab","IPv4":"192.0.2.7","IPv6":"none","STUNPort":-1,"DERPPort":8443}`},
		{"2001:db8::7", "", 443, 13478, `{"Name":"900a","RegionID":900,"HostName":"2001:db8::7","IPv4":"none","IPv6":"2001:db8::7","STUNPort":13478}`},
	} {
		if got := mapNode(c.host, c.pin, c.port, c.stun); got != c.want {
			t.Errorf("map node %s, want %s", got, c.want)
		}
	}
}
