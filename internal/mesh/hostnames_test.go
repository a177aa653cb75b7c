package mesh

import "testing"

// What is no name anywhere else is none for a sibling either; what containers are
// called is.
func TestHostsOfEntriesAreJudgedAsElsewhere(t *testing.T) {
	for host, good := range map[string]bool{
		"relay.example.com": true, "Relay.Example.com.": true, "relay": true, "detour_relay_1": true, "192.0.2.1": true, "[2001:db8::1]": true,
		"192.0.2": false, "192.0.2.256": false, "0.0.0.0": false, "[::]": false, "224.0.0.1": false, "[fe80::1%eth0]": false,
		"*.example.com": false, "a..example.com": false, "-a.example.com": false, "bücher.example": false, "a b": false,
		"user@relay.example.com": false, "a\u200b.example.com": false,
	} {
		if _, err := ParseEntries(host); (err == nil) != good {
			t.Errorf("%q: %v", host, err)
		}
	}
}
