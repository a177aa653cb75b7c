package interop

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/detour-relay/detour/test/interop/programs"
)

// notOurs are numbers of derper's that our relay does not have, and why.
var notOurs = map[string]string{
	"derp_multiforwarder_":          "a key has one route here, whichever sibling it leads to",
	"derp_packet_forwarder_":        "as above",
	"derp_mesh_update_loop_count":   "siblings are told of peers through their outboxes: no loop collects the news",
	"derp_memstats_sys0":            "go_memstats_sys_bytes of /metrics is the same, now",
	"derp_current_file_descriptors": "process_open_fds of /metrics is the same",
	"derp_rate_limit_":              "detour_limited_* of /metrics say it by limit",
}

// Our relay has derper's numbers under their names, with their types.
func TestDerpersMetrics(t *testing.T) {
	derper := programs.StartReference(t)
	address := programs.FreeAddr(t).String()
	programs.StartDetour(t, "--metrics", address)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: derper.VerifyPin}, DisableKeepAlives: true}}
	theirs := typesOf(t, client, "https://"+derper.Addr.String()+"/debug/varz")
	ours := typesOf(t, http.DefaultClient, "http://"+address+"/debug/varz")
	for name, kind := range theirs {
		if !strings.HasPrefix(name, "derp_") || isNotOurs(name) {
			continue
		}
		if got, known := ours[name]; !known || got != kind {
			t.Errorf("%s is a %s, and ours a %q", name, kind, got)
		}
	}
	n := 0
	for name := range ours {
		if strings.HasPrefix(name, "derp_") {
			n++
			if _, known := theirs[name]; !known || isNotOurs(name) {
				t.Errorf("%s: derper has no such number, or the list of what is missing has it", name)
			}
		}
	}
	if n < 25 {
		t.Errorf("only %d of derper's numbers", n)
	}
}

func isNotOurs(name string) bool {
	for begin := range notOurs {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return false
}

// partOfHistogram reports whether a name is the sum or the count of one.
func partOfHistogram(types map[string]string, name string) bool {
	for _, end := range []string{"_sum", "_count"} {
		if whole, is := strings.CutSuffix(name, end); is && types[whole] == "histogram" {
			return true
		}
	}
	return false
}

// typesOf are the names of a page in the text format, and their types: untyped, where it
// says none.
func typesOf(t *testing.T, client *http.Client, url string) map[string]string {
	t.Helper()
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s: %s: %s", url, answer.Status, text)
	}
	types := make(map[string]string)
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 4 && fields[0] == "#" && fields[1] == "TYPE" {
			types[fields[2]] = fields[3]
		}
		if len(fields) == 2 && !strings.Contains(fields[0], "{") && types[fields[0]] == "" && !partOfHistogram(types, fields[0]) {
			types[fields[0]] = "untyped"
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return types
}
