// Package page looks at the pages for operators, and drives them, in Debian's chromium: a
// real relay in this process, with real peers. Without chromium the tests fail; they never
// pass without having run.
//
// PAGE_PICTURES names a directory that gets a picture of each page. Those in docs/img are
// made so.
package page

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds whatever a test waits for, and life all that a tab does.
const (
	patience = 90 * time.Second
	life     = 9 * time.Minute
)

var browser context.Context

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "page: cannot run here: %v (Debian: apt-get install chromium)\n", err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	dir, err := os.MkdirTemp("", "detour-page-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(filepath.Join(dir, "user")),
		chromedp.Env("HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir), chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("host-resolver-rules", "MAP "+foreign+" 127.0.0.1"), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
	)
	all, end := chromedp.NewExecAllocator(context.Background(), options...)
	defer end()
	var stop context.CancelFunc
	browser, stop = chromedp.NewContext(all)
	defer stop()
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// A tab is one of the browser, with all that it asked for and complained about.
type tab struct {
	ctx context.Context
	t   *testing.T

	mu    sync.Mutex
	asked []string // URLs; guarded by mu, as wrong
	wrong []string
}

// newTab opens a tab that has no cookies of others.
func newTab(t *testing.T) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	b := &tab{t: t}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	var cancel context.CancelFunc
	b.ctx, cancel = context.WithTimeout(ctx, life)
	t.Cleanup(cancel)
	call(b, network.Enable, network.EnableParams{})
	call(b, runtime.Enable, cdp.Empty{})
	call(b, log.Enable, cdp.Empty{})
	return b
}

// note keeps what the tab asks for, and what it complains about.
func (b *tab) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, e.Request.URL)
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.wrong = append(b.wrong, "console: "+string(e.Type))
	case *log.EventEntryAdded:
		b.wrong = append(b.wrong, e.Entry.Text)
	}
}

// call gives the browser an order of its protocol.
func call[P, R any](b *tab, order cdp.Command[P, R], with P) R {
	b.t.Helper()
	answer, err := chromedp.Call(b.ctx, order, with)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%v\n%s", err, b.text())
	}
}

// text is what the page says.
func (b *tab) text() string {
	text, err := chromedp.Run(context.WithoutCancel(b.ctx), chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	if err != nil {
		return err.Error()
	}
	return text
}

// says waits until the page says something.
func (b *tab) says(want string) {
	b.t.Helper()
	b.until(fmt.Sprintf("says %q", want), fmt.Sprintf(`document.body.innerText.includes(%s)`, quoted(want)))
}

// until waits until an expression is true. It lives through the page's going away.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); b.ctx.Err() == nil && time.Now().Before(deadline); {
		if is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression)); err == nil && is {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("the page never %s:\n%s", what, b.text())
}

// eval returns what an expression is.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	is, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return is
}

func quoted(text string) string {
	q, _ := json.Marshal(text)
	return string(q)
}

// size makes the window, in a colour scheme.
func (b *tab) size(width, height int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// isClean checks that nothing went wrong, and that nobody but the relay was asked.
func (b *tab) isClean(origins ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, wrong := range b.wrong {
		b.t.Errorf("the browser complains: %s", wrong)
	}
	for _, url := range b.asked {
		if !slices.ContainsFunc(origins, func(o string) bool { return strings.HasPrefix(url, o+"/") }) && url != "about:blank" {
			b.t.Errorf("something else was asked: %s", url)
		}
	}
}

// picture writes what is seen to the directory for pictures.
func (b *tab) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("PAGE_PICTURES")
	if dir == "" {
		return
	}
	seen := call(b, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{})
	if err := os.WriteFile(filepath.Join(dir, name+".png"), seen.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
