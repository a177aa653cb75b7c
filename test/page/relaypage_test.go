package page

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/detour-relay/detour/client"
)

// Somebody looks at the page, sees a burst arrive, finds who it is, and bans him: he is
// thrown out and cannot come back. The page is never loaded anew by hand.
func TestBurstIsSeenAndBanned(t *testing.T) {
	s := begin(t)
	quiet, loud := s.login(t, "staff", "magicsock"), s.login(t, "guests", "<b>loud</b>")
	b := newTab(t)
	b.do(chromedp.Navigate(s.link(t)))
	b.says("All is well") // the link's page sends its form by itself
	const peers = `document.querySelector("#tiles dd").textContent`
	b.until("shows two peers", peers+`.startsWith("2 ")`)
	stop := loud.talk(t, quiet, 100, 20*time.Millisecond)
	b.until("shows the burst", `/[1-9].* [kM]B\/s/.test(document.querySelectorAll("#tiles dd")[1].textContent)`)
	b.until("draws the burst", `document.querySelector("#charts .area").getAttribute("d").length > 60`)

	b.do(chromedp.Click(`//a[text()="Clients"]`))
	b.says("2 connections of 2 keys")
	if first := eval[string](b, `document.querySelector("#found tbody tr").innerText`); !strings.Contains(first, "<b>loud</b>") {
		t.Fatalf("the heaviest is %q", first)
	}
	b.do(chromedp.Click(`#found tbody tr a`))
	b.says(loud.private.Public().String())
	b.do(chromedp.Click(`details summary`), chromedp.SetValue(`select[name=for]`, "3600"), chromedp.SendKeys(`input[name=why]`, "far too <i>loud</i>"), chromedp.Click(`button.harm`))
	b.says("It had one connection, which the relay ends")
	b.says("far too <i>loud</i>")
	b.says("It is not connected.")
	select {
	case <-loud.gone:
	case <-time.After(patience):
		t.Fatal("who is banned is still there")
	}
	stop()
	if again, _, err := client.Login(t.Context(), loud.config); err == nil {
		again.Close()
		t.Error("who is banned is back")
	}
	b.do(chromedp.Click(`//button[text()="Lift the ban"]`))
	b.says("is not banned any more")
	again, _, err := client.Login(t.Context(), loud.config)
	if err != nil {
		t.Fatalf("the ban is lifted: %v", err)
	}
	again.Close()

	b.do(chromedp.Click(`//a[text()="Overview"]`))
	b.says("Reload the settings")
	b.do(chromedp.Click(`//button[text()="Reload the settings"]`))
	b.says("Reloaded.")
	b.do(chromedp.Click(`//button[text()="Sign out"]`))
	b.says("Sign in")
	b.isClean(s.origin)
}

// Another site can neither give orders nor read anything, even if it knew the address of a
// session, and not under a name of its own either.
func TestOtherSitesGetNothing(t *testing.T) {
	s := begin(t)
	victim := s.login(t, "staff", "magicsock")
	b := newTab(t)
	b.do(chromedp.Navigate(s.link(t)))
	b.says("All is well")
	home := eval[string](b, `location.href`)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<title>other</title><body><form method="post" action="%sban"><input name="key" value="%s"><input name="for" value="0"><input name="proof" value="x"><button id="go">Win</button></form>
<iframe src="%s"></iframe><script>fetch("%s").then(r => r.text()).then(t => document.title = "read it", () => document.title = "nothing")</script>`,
			home, victim.private.Public(), s.origin+"/", s.origin+"/")
	}))
	defer site.Close()
	for _, at := range []string{site.URL, strings.Replace(site.URL, "127.0.0.1", "localhost", 1)} { // another port, and another site
		b.do(chromedp.Navigate(at))
		b.until("is told that it may not read", `document.title === "nothing"`)
		b.until("shows no frame of the relay", `(() => { try { return !document.querySelector("iframe").contentDocument } catch { return true } })()`)
		b.do(chromedp.Click(`#go`))
		b.says("This came from another site, and was not done.")
	}
	b.do(chromedp.Navigate(strings.Replace(s.origin, "127.0.0.1", foreign, 1) + "/"))
	b.says("this answers to an address or localhost only, not to a name")
	b.do(chromedp.Navigate(home))
	b.says("Sign out") // the session is as it was
	if s.relay.State().Access.Managed.Bans != 0 {
		t.Error("another site has banned somebody")
	}
	select {
	case <-victim.gone:
		t.Error("another site has thrown somebody out")
	default:
	}
}

// Without JavaScript the page is there, comes anew by itself, and takes orders.
func TestWithoutJavaScript(t *testing.T) {
	s := begin(t)
	s.login(t, "staff", "magicsock")
	b := newTab(t)
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.do(chromedp.Navigate(s.origin + "/"))
	refresh, err := chromedp.Run(b.ctx, chromedp.AttributeValue(`meta[http-equiv=refresh]`, "content", chromedp.NodeReady))
	if err != nil || refresh.Value != "15" {
		t.Errorf("comes anew after %q s, %v", refresh.Value, err)
	}
	if verdict, err := chromedp.Run(b.ctx, chromedp.Text(`#verdict h1`)); err != nil || verdict != "All is well" {
		t.Errorf("says %q, %v", verdict, err)
	}
	b.do(chromedp.Navigate(s.link(t)), chromedp.Click(`main button`), chromedp.WaitVisible(`//button[text()="Sign out"]`))
	b.do(chromedp.Click(`//a[text()="Clients"]`), chromedp.Click(`#found tbody tr a`), chromedp.WaitVisible(`details summary`))
	b.do(chromedp.Click(`//summary[starts-with(text(),"Close")]`), chromedp.Click(`//button[text()="Close now"]`), chromedp.WaitVisible(`.note`))
	b.isClean(s.origin)
}

// A page that is left open asks again and again, with one request at a time; while nobody
// sees it, it asks nothing; when the relay is back, it goes on.
func TestPageStaysUpToDate(t *testing.T) {
	s := begin(t)
	b := newTab(t)
	b.do(chromedp.Navigate(s.origin + "/"))
	b.says("All is well")
	s.login(t, "staff", "magicsock")
	b.until("shows the peer", `document.querySelector("#tiles dd").textContent.startsWith("1 ")`)
	eval[bool](b, `Object.defineProperty(document, "hidden", {get: () => true, configurable: true}); document.dispatchEvent(new Event("visibilitychange")); window.shown = document.querySelector("#verdict .since").innerText; true`)
	s.login(t, "staff", "magicsock")
	time.Sleep(3 * time.Second) // longer than between two looks
	b.until("stays as it was while hidden", `document.querySelector("#tiles dd").textContent.startsWith("1 ")`)
	eval[bool](b, `Object.defineProperty(document, "hidden", {get: () => false, configurable: true}); document.dispatchEvent(new Event("visibilitychange")); true`)
	b.until("shows the other peer", `document.querySelector("#tiles dd").textContent.startsWith("2 ")`)
	b.isClean(s.origin)
}
