package page

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/key"
)

// beginCoordinator runs one that has a tailnet with so many members, and returns where its
// page is.
func beginCoordinator(t *testing.T, members int) (origin string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "c") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := coordserver.Defaults()
	c.Front.Listen, c.Front.Hostname, c.Front.TLS.Mode, c.Front.StateDir, c.Front.Admin = "127.0.0.1:0", "127.0.0.1", config.TLSSelf, filepath.Join(dir, "state"), "127.0.0.1:0"
	s, err := coordserver.Open(c, coordserver.Options{Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() error { close(ready); return nil }) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-ready
	var lines strings.Builder
	fmt.Fprintf(&lines, `{"detour_export":1,"made":"2026-01-02T03:04:05Z"}`+"\n"+`{"tailnet":{"id":"abcdefghijklm","name":"home","created":1767323045,"ula":%q,"next":%d}}`+"\n", hex.EncodeToString([]byte("12345")), members+1)
	for i := range members {
		fmt.Fprintf(&lines, `{"member":{"tailnet":"abcdefghijklm","key":%q,"n":"machine-%03d","i":%d,"j":1767323045}}`+"\n", key.Public{byte(i), 5}, i, i+1)
	}
	fmt.Fprintf(&lines, `{"end":{"tailnets":1,"members":%d}}`+"\n", members)
	client := control.OverSocket(s.State().Socket)
	defer client.Close()
	answer, err := client.Ask(t.Context(), "POST", coordapi.PathAdmin+"import", nil, strings.NewReader(lines.String()))
	if err != nil {
		t.Fatal(err)
	}
	answer.Close()
	return "http://" + s.State().Admin
}

// The coordinator's pages are as readable as the relay's.
func TestCoordinatorsLook(t *testing.T) {
	origin := beginCoordinator(t, 120)
	b := newTab(t)
	b.do(chromedp.Navigate(origin + "/"))
	b.says("All is well")
	b.until("has the tailnet", `!!document.querySelector("#tailnets a")`)
	b.do(chromedp.Click(`#tailnets a`))
	b.says("120 members, of which 50 are here")
	b.do(chromedp.Click(`//a[text()="Next page"]`))
	b.says("machine-050")
	b.lookAt(t, origin+"/", []seen{{"coord", "", "Tailnets"}, {"coord-tailnet", "tailnet?id=abcdefghijklm", "machine-000"}})
	b.isClean(origin)
}
