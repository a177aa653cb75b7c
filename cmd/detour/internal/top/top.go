// Package top is the screen of "detour top": who uses a relay most, now, in a terminal.
//
// # Words
//
//   - feed: the goroutine that is sent samples, and asks again when the relay is lost or
//     something else is to be seen.
//   - view: what the keys have chosen: order, filter, and whether one key is looked at.
//
// The relay sends only what fits the screen.
package top

import (
	"context"
	"io"
	"net/url"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/key"
)

// Config says what is watched, and how it is shown.
type Config struct {
	At string // the relay, for people

	// Feed hands samples on until the context ends or the relay is lost.
	Feed func(ctx context.Context, q url.Values, each func(*control.Sample) error) error

	// Close and Ban change the relay, and say what was done; nil: nobody may.
	Close func(ctx context.Context, k key.Public) (string, error)
	Ban   func(ctx context.Context, k key.Public, during time.Duration) (string, error)

	Sort   string // as the relay is asked
	Filter Filter
	Every  time.Duration

	UTF8, Colour bool
	In           io.Reader
	Out          io.Writer
}

// Run shows it until a key or the context ends it, and gives the terminal back as it was.
func Run(ctx context.Context, c Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &feed{from: c.Feed, changed: make(chan struct{}, 1)}
	p := tea.NewProgram(newScreen(ctx, &c, f), tea.WithInput(c.In), tea.WithOutput(c.Out), tea.WithoutSignalHandler())
	var reading sync.WaitGroup
	reading.Go(func() { f.run(ctx, p.Send) })
	stop := context.AfterFunc(ctx, p.Quit)
	_, err := p.Run()
	stop()
	cancel()
	reading.Wait()
	return err
}

// What the feed sends to the screen, with the question that it answers.
type (
	sampled struct {
		question int
		*control.Sample
	}
	lost struct {
		question int
		err      error
	}
)

// A feed asks for samples.
type feed struct {
	from    func(ctx context.Context, q url.Values, each func(*control.Sample) error) error
	changed chan struct{} // holds one if there is another question

	mu       sync.Mutex
	question int                // guarded by mu: the number of what is asked
	query    url.Values         // guarded by mu: nil: nothing, it is paused
	cancel   context.CancelFunc // guarded by mu: ends what is asked now; nil: nothing is
}

// ask has another question answered, and returns its number; nil: none.
func (f *feed) ask(q url.Values) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.question++
	f.query = q
	if f.cancel != nil {
		f.cancel()
	}
	select {
	case f.changed <- struct{}{}:
	default:
	}
	return f.question
}

// again is how long it takes until a relay that was lost is asked again.
const again = time.Second

func (f *feed) run(ctx context.Context, send func(tea.Msg)) {
	for ctx.Err() == nil {
		asking, q, n := f.begin(ctx)
		var wait <-chan time.Time
		if q != nil {
			err := f.from(asking, q, func(s *control.Sample) error {
				send(sampled{n, s})
				return asking.Err()
			})
			if asking.Err() == nil {
				send(lost{n, err})
				wait = time.After(again)
			}
		}
		select {
		case <-f.changed:
		case <-wait:
		case <-ctx.Done():
		}
	}
}

// begin takes the question of now.
func (f *feed) begin(ctx context.Context) (context.Context, url.Values, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, f.cancel = context.WithCancel(ctx)
	return ctx, f.query, f.question
}
