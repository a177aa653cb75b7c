package netio_test

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// moreThanSocketsTake is what two sockets do not hold as long as nobody reads.
const moreThanSocketsTake = 16 << 20

// fill sends noise until the stream takes no more, without waiting, and stages
// much more behind it. It returns what was sent and staged.
func fill(t *testing.T, l link) (sent []byte) {
	t.Helper()
	defer func() {
		more := noise(moreThanSocketsTake)
		sent = append(sent, more...)
		if _, err := l.stream.Write(more); err != nil {
			t.Fatal(err)
		}
	}()
	for range 10_000 {
		piece := noise(60_000)
		sent = append(sent, piece...)
		if _, err := l.stream.Write(piece); err != nil {
			t.Fatal(err)
		}
		done, err := l.stream.Flush(false)
		if err != nil {
			t.Fatal(err)
		}
		if !done {
			return sent
		}
	}
	t.Fatal("the stream takes everything, though nobody reads")
	return nil
}

// A flush that may not wait says when the stream is full; one that waits makes
// progress as soon as the peer reads, and in the end all of it arrives.
func TestPeerThatReadsLate(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		sent := fill(t, l)
		if !k.direct && len(sent) > 60_000+moreThanSocketsTake {
			t.Error("a blocking stream sends while it may not wait")
		}
		for range 3 { // full stays full
			if done, err := l.stream.Flush(false); done || err != nil {
				t.Fatalf("flush of a full stream: %v, %v", done, err)
			}
		}
		flushed := make(chan error, 1)
		go func() {
			for {
				if done, err := l.stream.Flush(true); done || err != nil {
					flushed <- err
					return
				}
			}
		}()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(l.peer, got); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "output", got, sent)
		if err := wait(t, flushed); err != nil {
			t.Error(err)
		}
		if done, err := l.stream.Flush(false); !done || err != nil {
			t.Errorf("flush of nothing: %v, %v", done, err)
		}
	})
}

// A flush that waits comes back when something was sent, not only when all is:
// so a slow peer is told from a dead one.
func TestFlushReturnsWithProgress(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		left := len(fill(t, l))
		flushes := 0
		for done := false; !done; flushes++ {
			flushed := make(chan error, 1)
			go func() {
				var err error
				done, err = l.stream.Flush(true)
				flushed <- err
			}()
			for returned := false; !returned; {
				select {
				case err := <-flushed:
					if err != nil {
						t.Fatal(err)
					}
					returned = true
				case <-time.After(time.Millisecond): // it waits, or has just returned: read a little
					l.peer.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
					n, err := l.peer.Read(make([]byte, min(left, 50_000)))
					if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatal(err)
					}
					left -= n
				}
			}
		}
		if flushes < 2 {
			t.Errorf("all was sent in %d flushes", flushes)
		}
		l.peer.SetReadDeadline(time.Now().Add(timeout))
		if _, err := io.ReadFull(l.peer, make([]byte, left)); err != nil {
			t.Error(err)
		}
	})
}

// Nothing staged leaves before a flush, and what is staged meanwhile goes out in
// order behind what a waiting flush sends.
func TestStagingWhileAFlushWaits(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind) {
		l := k.dial(t, nil)
		sent := fill(t, l)
		flushed := make(chan error, 1)
		go func() {
			for {
				if done, err := l.stream.Flush(true); done || err != nil {
					flushed <- err
					return
				}
			}
		}()
		for range 10 { // none of these waits for the flush
			piece := noise(1000)
			sent = append(sent, piece...)
			staged := run(func() error { _, err := l.stream.Write(piece); return err })
			if err := wait(t, staged); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, len(sent)-10_000)
		if _, err := io.ReadFull(l.peer, got); err != nil {
			t.Fatal(err)
		}
		rest := make([]byte, 10_000)
		reading := run(func() error { _, err := io.ReadFull(l.peer, rest); return err })
		if err := wait(t, flushed); err != nil {
			t.Error(err)
		}
		if err := send(l.stream, nil); err != nil {
			t.Error(err)
		}
		if err := wait(t, reading); err != nil {
			t.Error(err)
		}
		wantSame(t, "output", append(got, rest...), sent)
	})
}
