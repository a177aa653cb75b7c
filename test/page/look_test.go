package page

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The pages are readable on a large screen and on a phone, in light and in dark: nothing
// scrolls sideways, no text is too pale, and each control has a name.
func TestLook(t *testing.T) {
	s := begin(t)
	s.crowd(t)
	b := newTab(t)
	b.do(chromedp.Navigate(s.link(t)))
	b.says("All is well")
	home := eval[string](b, `location.href`)
	time.Sleep(atWork())
	b.lookAt(t, home, []seen{{"page", "", "Who uses it most"}, {"page-clients", "clients", "connections of"}, {"page-signin", "../../signin", "detour page"}})
	b.isClean(s.origin)
}

// seen is a page, with what it says, and what its picture is called.
type seen struct{ name, path, says string }

// lookAt looks at pages in both colour schemes and on screens of all sizes.
func (b *tab) lookAt(t *testing.T, home string, pages []seen) {
	for _, page := range pages {
		for _, scheme := range []string{"light", "dark"} {
			for _, window := range []struct {
				name          string
				width, height int64
			}{{"", 1200, 900}, {"-phone", 390, 844}, {"-small", 320, 600}} {
				t.Run(fmt.Sprint(page.name, " ", scheme, window.name), func(t *testing.T) {
					b.t = t
					b.size(window.width, window.height, scheme)
					b.do(chromedp.Navigate(home + page.path))
					b.says(page.says)
					b.looksGood()
					b.picture(page.name + "-" + scheme + window.name)
				})
			}
		}
	}
	b.t = t
}

// crowd is a relay at work.
func (s *stand) crowd(t *testing.T) {
	t.Helper()
	labels, apps := []string{"staff", "guests", "servers"}, []string{"magicsock", "detour", "derpprobe", "a program whose name is very long"}
	var all []*peer
	for i := range 12 {
		all = append(all, s.login(t, labels[i%3], apps[i%4][:min(32, len(apps[i%4]))]))
	}
	for i := range 6 {
		all[2*i].talk(t, all[2*i+1], 3*(6-i), 15*time.Millisecond)
	}
}

// atWork is how long the relay works before it is looked at, so that there is something to
// see; for pictures that others see, there should be more.
func atWork() time.Duration {
	if os.Getenv("PAGE_PICTURES") != "" {
		return 4 * time.Minute
	}
	return 8 * time.Second
}

// looksGood checks what can be checked of a look.
func (b *tab) looksGood() {
	b.t.Helper()
	for _, w := range eval[[]string](b, lookScript) {
		b.t.Error(w)
	}
	b.do(chromedp.KeyEvent(kb.Tab))
	if where := eval[string](b, `document.activeElement ? document.activeElement.textContent : ""`); where == "" {
		b.t.Error("the keyboard leads nowhere")
	}
	eval[bool](b, `document.activeElement.blur(); scrollTo(0, 0); true`)
}

// lookScript returns what is wrong: by the rules of WCAG 2.2, AA.
const lookScript = `(() => {
  const wrong = [], root = document.documentElement;
  if (root.scrollWidth > innerWidth) {
    const wide = [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".wide-enough"));
    wrong.push("it scrolls sideways: " + root.scrollWidth + " of " + innerWidth + " px, " + wide.slice(0, 3).map(e => e.tagName + "." + e.className).join(", "));
  }
  const parse = c => { const n = (c.match(/[\d.]+/g) || []).map(Number); return n.length < 4 ? [...n, 1] : n };
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0.99) return c.slice(0, 3) } return [255, 255, 255] };
  const seen = new Set(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || e.closest("script, noscript, .unseen, .skip, [hidden], option") || !e.getClientRects().length) continue;
    const s = getComputedStyle(e), a = light(parse(s.color).slice(0, 3)), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(s.fontSize);
    const least = size >= 24 || size >= 18.66 && s.fontWeight >= 700 ? 3 : 4.5;
    const what = e.tagName + "." + e.className;
    if (ratio < least && !seen.has(what)) { seen.add(what); wrong.push("too pale: " + what + " " + JSON.stringify(walk.currentNode.textContent.trim().slice(0, 30)) + " " + ratio.toFixed(2)) }
  }
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, button, a")) {
    const name = e.textContent.trim() || e.getAttribute("aria-label") || (e.labels && e.labels.length && e.labels[0].textContent.trim()) || "";
    if (!name) wrong.push("it has no name: " + e.outerHTML.slice(0, 80));
  }
  for (const e of document.querySelectorAll("table")) if (!e.querySelector("thead th[scope=col]") || !e.querySelector("tbody th[scope=row]")) wrong.push("a table without headers");
  if (document.querySelectorAll("h1").length !== 1) wrong.push(document.querySelectorAll("h1").length + " titles");
  if (!document.querySelector("main") || !root.lang) wrong.push("no main part, or no language");
  return wrong;
})()`
