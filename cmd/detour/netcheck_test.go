package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/stun"
)

// startSTUN starts responders that answer until the script ends.
func startSTUN(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: responders NAME...")
	}
	for _, name := range args {
		r, err := stun.Listen(context.Background(), stun.Config{Addr: "127.0.0.1:0"})
		ts.Check(err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Serve(context.Background())
		}()
		ts.Defer(func() {
			r.Close()
			<-done
		})
		_, port, _ := strings.Cut(r.Addr().String(), ":")
		ts.Setenv(name, port)
	}
}

func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand FILE...")
	}
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// bothFamilies is a report of four regions.
func bothFamilies() netcheckReport {
	return netcheckReport{
		UDP: true, IPv4: true, IPv6: true, PublicIPv4: "203.0.113.7:41641", MappingVaries: new(false), Home: 900, HomeRelays: true, Reason: "it is the nearest",
		Regions: []netcheckRegion{
			{Region: 900, Code: "fra", Name: "Frankfurt", LatencyMS: new(4.1), IPv4MS: new(4.1), IPv6MS: new(4.26)},
			{Region: 901, Code: "ams", Name: "Amsterdam", LatencyMS: new(11.0), IPv4MS: new(11.0)},
			{Region: 9, Code: "örebro", Name: "Ö\x1b[31m\nrebro", LatencyMS: new(44.0), IPv6MS: new(44.0)},
			{Region: 902, Code: strings.Repeat("c", 20), Name: strings.Repeat("n", 50), WhyNot: "no answer: \x00 " + strings.Repeat("e", 300)},
		},
	}
}

func TestNetcheckText(t *testing.T) {
	got := netcheckText(bothFamilies(), false, cli.Page{Width: 105, UTF8: true})
	want := `
UDP              yes
IPv4             yes, 203.0.113.7:41641
IPv6             yes
NAT mapping      the same for all regions
Home             900 fra (Frankfurt): it is the nearest

region                                                  IPv4      IPv6
900 fra           Frankfurt                           4.1 ms    4.3 ms  ███
901 ams           Amsterdam                          11.0 ms         -  ████████▎
  9 örebro        Ö?[31m rebro                             -   44.0 ms  █████████████████████████████████
902 cccccccccc..  nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn..  no answer: ? ` + strings.Repeat("e", 185) + `..
`
	if got != want[1:] {
		t.Errorf("\n%s", got)
	}
}

func TestNetcheckTextWithoutUDP(t *testing.T) {
	r := netcheckReport{CaptivePortal: true, Reason: "nothing answered", Regions: []netcheckRegion{{Region: 1, WhyNot: "no answer"}}}
	want := `
UDP              no
IPv4             not known
IPv6             not known
NAT mapping      not known
Captive portal   yes
Home             none: nothing answered

region   latency
1       no answer
`
	if got := netcheckText(r, false, cli.Page{Width: 80}); got != want[1:] {
		t.Errorf("\n%s", got)
	}
	if got := netcheckText(r, true, cli.Page{}); !strings.HasPrefix(got, "UDP              not tried, because of --no-udp\n") {
		t.Errorf("\n%s", got)
	}
}

func TestNetcheckAdvice(t *testing.T) {
	for _, test := range []struct {
		r     netcheckReport
		noUDP bool
		want  []string // how the lines begin
	}{
		{netcheckReport{UDP: true, Home: 1, HomeRelays: true, MappingVaries: new(false)}, false, nil},
		{netcheckReport{UDP: true, Home: 1, HomeRelays: true, MappingVaries: new(true)}, false, []string{"the NAT gives"}},
		{netcheckReport{Home: 1, HomeRelays: true}, false, []string{"nothing answers over UDP"}},
		{netcheckReport{Home: 1, HomeRelays: true}, true, nil},
		{netcheckReport{}, false, []string{"no region answered"}},
		{netcheckReport{CaptivePortal: true}, false, []string{"a captive portal"}},
		{netcheckReport{UDP: true, MappingVaries: new(true)}, false, []string{"no region answered", "the NAT gives"}},
	} {
		got := netcheckAdvice(test.r, test.noUDP)
		if !slices.EqualFunc(got, test.want, strings.HasPrefix) {
			t.Errorf("%+v: %q, want %q", test.r, got, test.want)
		}
	}
}

// Advice goes by what the regions failed for, and is not about this host if something answered.
func TestAdviceDoesNotContradictTheFindings(t *testing.T) {
	m := &derpmap.Map{Regions: map[int]*derpmap.Region{
		1: {RegionID: 1, RegionCode: "one", Nodes: []*derpmap.Node{{Name: "1a", HostName: "one.test"}}},
		2: {RegionID: 2, RegionCode: "two", Nodes: []*derpmap.Node{{Name: "2a", HostName: "two.test", CertName: "sha256-raw:" + strings.Repeat("0", 64)}}},
		3: {RegionID: 3, RegionCode: "stun", Nodes: []*derpmap.Node{{Name: "3a", HostName: "stun.test", STUNOnly: true}}},
	}}
	const offline = "is this host online"
	for _, test := range []struct {
		name  string
		found client.Home
		want  []string
		not   string
	}{
		{"all is silent", failed(context.DeadlineExceeded, context.DeadlineExceeded), []string{offline}, "region 1"},
		{"no network", failed(syscall.ENETUNREACH, syscall.ENETUNREACH), []string{offline}, "region 1"},
		{"no names", failed(&net.DNSError{IsNotFound: true}, &net.DNSError{IsNotFound: true}), []string{offline}, "region 1"},
		{"a certificate", failed(client.ErrCertificate, context.DeadlineExceeded), []string{"region 1: give its issuer with --ca"}, offline},
		{"a pin", failed(context.DeadlineExceeded, client.ErrPinMismatch), []string{"region 2: compare CertName of the node"}, offline},
		{"the proxy", failed(&client.StatusError{Code: 407, Proxy: true}, &client.StatusError{Code: 407, Proxy: true}),
			[]string{"region 1: the proxy wants another user or password: see HTTPS_PROXY"}, offline},
		{"the way to the proxy", failed(&client.ProxyError{Proxy: "p", Err: syscall.ECONNREFUSED}, context.DeadlineExceeded),
			[]string{"region 1: nothing listens at the proxy's address"}, offline},
		{"closed ports", failed(syscall.ECONNREFUSED, syscall.ECONNREFUSED), []string{"region 1: nothing listens there"}, offline},
		{"a home that cannot relay", client.Home{Region: 3, Reason: "it is the nearest", Report: client.Report{UDP: true}},
			[]string{"region 3 is the nearest, but none of its nodes relays"}, offline},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newNetcheckReport(m, test.found, false)
			got := strings.Join(netcheckAdvice(r, true), "\n")
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q, want %q", got, want)
				}
			}
			if strings.Contains(got, test.not) {
				t.Errorf("%q speaks of %q", got, test.not)
			}
			if relays := strings.Contains(homeAnswer(r), "cannot relay"); relays != (test.found.Region == 3) {
				t.Errorf("the line of the home: %q", homeAnswer(r))
			}
		})
	}
}

// failed is what is found where the regions 1 and 2 fail.
func failed(one, two error) client.Home {
	return client.Home{Report: client.Report{Failed: map[int]error{1: one, 2: two}}}
}

func TestWhyThereIsNoLatency(t *testing.T) {
	plain := &derpmap.Region{Nodes: []*derpmap.Node{nil, {HostName: "r.example"}}}
	noSTUN := &derpmap.Region{Nodes: []*derpmap.Node{{STUNPort: -1}}}
	onlySTUN := &derpmap.Region{Nodes: []*derpmap.Node{{STUNOnly: true}}}
	for _, test := range []struct {
		region *derpmap.Region
		udp    bool
		err    error
		want   string
	}{
		{plain, true, nil, "no answer"},
		{plain, false, nil, "no answer"},
		{plain, false, client.ErrCertificate, "no answer: certificate not valid"},
		{noSTUN, true, nil, "not measured: no node with STUN"},
		{noSTUN, false, nil, "no answer"},
		{onlySTUN, true, nil, "no answer"},
		{onlySTUN, false, nil, "not measured: no node with HTTPS"},
		{&derpmap.Region{}, true, nil, "not measured: no node with STUN"},
		{&derpmap.Region{NoMeasureNoHome: true}, true, nil, "not measured: NoMeasureNoHome"},
		{&derpmap.Region{Avoid: true, Nodes: plain.Nodes}, true, nil, "no answer"},
		{&derpmap.Region{Avoid: true, Nodes: plain.Nodes}, false, nil, "not measured over HTTPS: Avoid"},
	} {
		if got := whyNot(test.region, test.udp, test.err); got != test.want {
			t.Errorf("%+v, UDP %t: %q, want %q", test.region, test.udp, got, test.want)
		}
	}
}

func TestNetcheckIsInterrupted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "derp.json")
	const text = `{"Regions": {"900": {"RegionID": 900, "Nodes": [{"HostName": "127.0.0.1", "IPv6": "none", "STUNPort": 1}]}}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := newNetcheckCommand()
	cmd.SetArgs([]string{file})
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	if err := cmd.ExecuteContext(ctx); cli.ExitStatus(err) != cli.ExitUnanswered || !strings.HasPrefix(err.Error(), "interrupted ") {
		t.Error(err)
	}
}
