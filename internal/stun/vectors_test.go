package stun

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vectors struct {
	Transaction hexBytes `json:"transaction_id_hex"`
	Request     hexBytes `json:"request_hex"`
	Responses   []struct {
		Observed netip.AddrPort
		Response hexBytes       `json:"response_hex"`
		Parsed   netip.AddrPort `json:"client_parses_as"`
	}
	Requests []struct {
		Name    string
		Packet  hexBytes `json:"packet_hex"`
		Replies bool     `json:"server_replies"`
		Reason  string
	} `json:"server_requests"`
	Answers []struct {
		Name   string
		OK     bool
		Packet hexBytes `json:"packet_hex"`
		Parsed netip.AddrPort
	} `json:"client_responses"`
}

func loadVectors(t testing.TB) *vectors {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "derp", "testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ STUN vectors }
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	v := &all.STUN
	if len(v.Request) == 0 || len(v.Responses) == 0 || len(v.Requests) == 0 || len(v.Answers) == 0 {
		t.Fatal("vectors.json lacks a part that is about STUN")
	}
	return v
}

// reasonNames are the vectors' words.
var reasonNames = [reasons]string{
	badHeader:        "header",
	notRequest:       "not-a-request",
	badAttributes:    "attributes",
	otherSoftware:    "software",
	fingerprintMoved: "fingerprint-not-last",
	badFingerprint:   "fingerprint-value",
}

func TestRequestsOfTheVectors(t *testing.T) {
	for _, test := range loadVectors(t).Requests {
		got := classify(test.Packet)
		if (got == none) != test.Replies || reasonNames[got] != test.Reason {
			t.Errorf("%s: reason %q, want %q", test.Name, reasonNames[got], test.Reason)
		}
	}
}

func TestAnswersOfTheVectors(t *testing.T) {
	v := loadVectors(t)
	for _, test := range v.Responses {
		if parsed, err := parseAnswer(test.Response); err != nil || parsed != test.Parsed {
			t.Errorf("%v: the prober reads %v, %v, want %v", test.Observed, parsed, err, test.Parsed)
		}
		want := test.Response
		if test.Observed.Addr().Is4In6() { // a quirk that the responder does not have
			want = v.Responses[0].Response
		}
		b := make([]byte, maxRequest)
		copy(b, v.Request)
		if got := b[:putAnswer(b, test.Observed)]; !bytes.Equal(got, want) {
			t.Errorf("%v: answer\n%x, want\n%x", test.Observed, got, want)
		}
	}
	for _, test := range v.Answers {
		parsed, err := parseAnswer(test.Packet)
		if (err == nil) != test.OK || parsed != test.Parsed {
			t.Errorf("%s: the prober reads %v, %v, want %v", test.Name, parsed, err, test.Parsed)
		}
	}
}

// The prober's requests differ from the vector's in nothing but the
// transaction ID and what follows from it.
func TestRequestsAreTheClients(t *testing.T) {
	v := loadVectors(t)
	id, request, err := newRequest()
	if err != nil {
		t.Fatal(err)
	}
	if got := classify(request); got != none {
		t.Errorf("the responder ignores it: %q", reasonNames[got])
	}
	if !bytes.Equal(request[8:20], id[:]) {
		t.Errorf("transaction ID %x in a request made for %x", request[8:20], id)
	}
	const fingerprint = 36
	if len(request) != len(v.Request) || !bytes.Equal(request[:8], v.Request[:8]) ||
		!bytes.Equal(request[20:fingerprint], v.Request[20:fingerprint]) {
		t.Errorf("request\n%x, want one like\n%x", request, v.Request)
	}
}
