package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/readbuf"
)

// wire is a connection that notes each write, and reads what it is given.
type wire struct {
	net.Conn // nil: nothing else is called
	in       io.Reader
	writes   []string
	fails    error
}

func (w *wire) Read(p []byte) (int, error) { return w.in.Read(p) }

func (w *wire) Write(p []byte) (int, error) {
	w.writes = append(w.writes, string(p))
	if w.fails != nil {
		return 0, w.fails
	}
	return len(p), nil
}

// What was read early comes first, once, however it is read.
func TestEarlyBytesComeFirst(t *testing.T) {
	const early, later = "read too early", ", and what comes later"
	for _, size := range []int{1, 3, len(early), 100} {
		for name, over := range map[string]func(*Socket) io.Reader{
			"plain":      func(s *Socket) io.Reader { return s },
			"read ahead": func(s *Socket) io.Reader { return ReadAhead(s) },
		} {
			s := New(&wire{in: strings.NewReader(later)}, []byte(early))
			var got bytes.Buffer
			_, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{over(s)}, make([]byte, size))
			if err != nil || got.String() != early+later {
				t.Errorf("%s, %d bytes at a time: %q, %v", name, size, got.String(), err)
			}
		}
	}
}

// Who reads in small pieces does not read the connection in small pieces.
func TestReadAheadReadsInLargePieces(t *testing.T) {
	reads := 0
	in := readerFunc(func(p []byte) (int, error) { reads++; return len(p), nil })
	over := ReadAhead(New(&wire{in: in}, nil))
	for range readbuf.Large {
		if _, err := over.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if reads > 20 {
		t.Errorf("%d reads for %d bytes", reads, readbuf.Large)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestHeldWritesLeaveInOne(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		do    string // h: hold, r: release, f: the wire fails from now on; others are written
		want  []string
		fails bool // the last step
	}{
		"not held":           {"ab", []string{"a", "b"}, false},
		"held":               {"hab", nil, false},
		"released":           {"habr", []string{"ab"}, false},
		"nothing held":       {"hr", nil, false},
		"never held":         {"r", nil, false},
		"after the release":  {"habrc", []string{"ab", "c"}, false},
		"held again":         {"habrhcdr", []string{"ab", "cd"}, false},
		"held twice":         {"hahbr", []string{"ab"}, false},
		"released twice":     {"harr", []string{"a"}, false},
		"a write fails":      {"fa", []string{"a"}, true},
		"the release fails":  {"hafr", []string{"a"}, true},
		"a held one is fine": {"hfa", nil, false},
	} {
		w := new(wire)
		s := New(w, nil)
		var err error
		held := 0
		for _, step := range test.do {
			err = nil
			switch step {
			case 'h':
				s.Hold()
			case 'r':
				err = s.Release()
				held = 0
			case 'f':
				w.fails = broken
			default:
				p := []byte{byte(step)}
				before := len(w.writes)
				_, err = s.Write(p)
				p[0] = '!' // the caller's again
				if len(w.writes) == before {
					held++
				}
			}
			if s.Pending() != held {
				t.Errorf("%s: %d bytes are pending, want %d", name, s.Pending(), held)
			}
		}
		if !slices.Equal(w.writes, test.want) || (err != nil) != test.fails || test.fails && !errors.Is(err, broken) {
			t.Errorf("%s: wrote %q, %v; want %q", name, w.writes, err, test.want)
		}
	}
}

// TLS and WebSocket write on their own account: all of it leaves, in the order of
// each writer.
func TestWritersBesideTheHolder(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s := New(ours, nil)
	const writers, each = 4, 200
	var writing sync.WaitGroup
	for id := range writers {
		writing.Go(func() {
			for n := range each {
				if _, err := s.Write([]byte{byte(id), byte(n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Go(func() {
		for range each {
			s.Hold()
			if err := s.Release(); err != nil {
				t.Error(err)
			}
		}
	})
	go func() {
		writing.Wait()
		ours.Close()
	}()
	got, err := io.ReadAll(theirs)
	if err != nil || len(got) != 2*writers*each {
		t.Fatalf("%d bytes, %v; want %d", len(got), err, 2*writers*each)
	}
	var next [writers]byte
	for pair := range slices.Chunk(got, 2) {
		if id, n := pair[0], pair[1]; n != next[id] {
			t.Fatalf("writer %d: %d comes when %d is due", id, n, next[id])
		}
		next[pair[0]]++
	}
}

// Reads fail when nothing has ended for the time of silence, and not before.
func TestSilence(t *testing.T) {
	const never = time.Duration(-1)
	for name, test := range map[string]struct {
		watch   bool
		every   time.Duration // a byte comes, until
		until   time.Duration
		restart bool          // each byte ends a frame
		want    time.Duration // when reading ends; the other side closes after a day
	}{
		"not watched":            {false, 0, 0, false, never},
		"nothing comes":          {true, 0, 0, true, Silence},
		"frames, then nothing":   {true, time.Minute, 10 * time.Minute, true, 10*time.Minute + Silence},
		"many frames":            {true, 100 * time.Millisecond, time.Minute, true, time.Minute + Silence},
		"rarely":                 {true, Silence, 10 * Silence, true, 11 * Silence},
		"one frame without end":  {true, time.Second, time.Hour, false, Silence},
		"not watched, in pieces": {false, time.Minute, time.Hour, false, never},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				began := time.Now()
				go func() {
					defer theirs.Close()
					for test.every > 0 && time.Since(began) < test.until {
						time.Sleep(test.every)
						if _, err := theirs.Write([]byte("x")); err != nil {
							return
						}
					}
					time.Sleep(24 * time.Hour)
				}()
				s := New(ours, nil)
				if test.watch {
					s.WatchSilence()
				}
				var err error
				for ; err == nil; _, err = s.Read(make([]byte, 1)) {
					if test.restart {
						s.RestartSilence()
					}
				}
				took := time.Since(began)
				ours.Close()
				time.Sleep(48 * time.Hour) // until the other side has ended
				if test.want == never {
					if !errors.Is(err, io.EOF) {
						t.Errorf("%v after %v, want the end of the stream", err, took)
					}
					return
				}
				if !errors.Is(err, os.ErrDeadlineExceeded) || took < test.want || took > test.want+2*SilenceSlack {
					t.Errorf("%v after %v, want a timeout after %v", err, took, test.want)
				}
			})
		})
	}
}

// Time in which nobody reads is not silence.
func TestTimeWithoutAReaderIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		s := New(ours, nil)
		s.WatchSilence()
		for range 5 {
			time.Sleep(10 * Silence)
			go theirs.Write([]byte("x"))
			if _, err := s.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			s.RestartSilence()
		}
	})
}
