package mapfeed

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derpmap"
)

// A feedTest is a feed that looks at what the test says, at every full second.
type feedTest struct {
	t      *testing.T
	found  atomic.Pointer[found]
	log    logText
	logged int // how much of the log has been seen
	feed   *Feed
	hangup chan os.Signal
}

// found is what the feed finds when it looks.
type found struct {
	text string
	err  error
}

func (f *feedTest) put(text string) { f.found.Store(&found{text: text}) }
func (f *feedTest) fail()           { f.found.Store(&found{err: errors.New("gone")}) }

func startFeed(t *testing.T, text string, whole bool) *feedTest {
	f := &feedTest{t: t, hangup: make(chan os.Signal)}
	f.put(text)
	read := func(context.Context) (Text, error) {
		now := f.found.Load()
		return Text{Name: "derp.json", Form: derpmap.JSON, Data: []byte(now.text)}, now.err
	}
	var err error
	f.feed, err = NewFeed(FeedConfig{
		Read: read, Whole: whole, Handler: new(Handler), Logger: slog.New(slog.NewTextHandler(&f.log, nil)), Interval: time.Second, Hangup: f.hangup,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.feed.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	go f.feed.Watch(t.Context())
	time.Sleep(time.Second / 2)
	return f
}

// expect lets the feed look so many times. It then serves the region, and has
// logged a line with the text, or none if that is empty.
func (f *feedTest) expect(looks int, region int, line string) {
	f.t.Helper()
	time.Sleep(time.Duration(looks) * time.Second)
	synctest.Wait()
	if ids := f.feed.cfg.Handler.Map().IDs(); len(ids) != 1 || ids[0] != region {
		f.t.Errorf("it serves %d, want %d", ids, region)
	}
	text := f.log.text()[f.logged:]
	f.logged += len(text)
	text = withoutVanished(text)
	if lines := strings.Count(text, "\n"); !strings.Contains(text, line) || line == "" && lines > 0 || lines > 1 {
		f.t.Errorf("the log is %q, want %q", text, line)
	}
}

// withoutVanished leaves out the line on the region that a change takes away.
func withoutVanished(log string) (rest string) {
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "regions are not in the new map any more") {
			rest += line
		}
	}
	return rest
}

func TestFeedNamesTheRegionsThatVanish(t *testing.T) {
	inSeconds(t, func(f *feedTest) {
		f.put(otherRegion)
		f.expect(2, 901, "there is a new map")
		if log := f.log.text(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "regions=[900]") {
			t.Errorf("no word on region 900: %s", log)
		}
	})
}

func (f *feedTest) sendHangup() {
	f.hangup <- syscall.SIGHUP
	synctest.Wait()
}

// inSeconds runs a test in which a feed looks every second, in no time.
func inSeconds(t *testing.T, test func(*feedTest)) {
	synctest.Test(t, func(t *testing.T) { test(startFeed(t, oneRegion, false)) })
}

func TestFeedTakesWhatTwoLooksHaveFound(t *testing.T) {
	inSeconds(t, func(f *feedTest) {
		f.expect(3, 900, "")
		f.put(otherRegion[:40]) // is being written
		f.expect(1, 900, "")
		f.put(otherRegion)
		f.expect(1, 900, "")
		f.expect(1, 901, "there is a new map")
		f.expect(3, 901, "")
		f.put(oneRegion)
		f.expect(1, 901, "")
		f.put(otherRegion) // and back
		f.expect(1, 901, "")
		f.put(oneRegion)
		f.expect(1, 901, "")
		f.expect(1, 900, "there is a new map")
		f.put(" " + oneRegion)
		f.expect(2, 900, "the map is as it was")
	})
}

func TestFeedTakesWhatIsWholeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startFeed(t, oneRegion, true)
		f.put(otherRegion)
		f.expect(1, 901, "there is a new map")
	})
}

func TestFeedKeepsTheMapFromWhatIsBroken(t *testing.T) {
	inSeconds(t, func(f *feedTest) {
		f.put(`{"Regions": {,}}`)
		f.expect(2, 900, `reason="derp.json:1:14: error: a comma stands here`)
		f.expect(3, 900, "") // it is said once
		f.put(`{"Regions": {}}`)
		f.expect(2, 900, "derp.json:1:13: error: Regions: the map has no regions; add Regions with a region in it [map-empty]")
		f.put(strings.Replace(otherRegion, `"RegionID": 901, "RegionCode"`, `"RegionID": 902, "RegionCode"`, 1))
		f.expect(2, 900, "[region-id-mismatch]")
		f.put(otherRegion)
		f.expect(2, 901, "there is a new map")
	})
}

func TestFeedReportsOnceThatNothingCanBeRead(t *testing.T) {
	inSeconds(t, func(f *feedTest) {
		f.fail()
		f.expect(1, 900, "") // as between the two halves of a replacement
		f.put(oneRegion)
		f.expect(1, 900, "")
		f.fail()
		f.expect(2, 900, "the map cannot be read; the old one stays")
		f.expect(3, 900, "")
		f.put(otherRegion)
		f.expect(2, 901, "there is a new map")
	})
}

func TestHangupLooksAtOnce(t *testing.T) {
	inSeconds(t, func(f *feedTest) {
		f.sendHangup()
		f.expect(0, 900, "the map is as it was")
		f.put(otherRegion)
		f.sendHangup()
		f.expect(0, 901, "there is a new map")
		f.put(`{`)
		f.sendHangup()
		f.expect(0, 901, "the new map is not served; the old one stays")
		f.sendHangup()
		f.expect(0, 901, "the new map is not served; the old one stays")
		f.expect(3, 901, "")
		f.fail()
		f.sendHangup()
		f.expect(0, 901, "the map cannot be read; the old one stays")
	})
}
