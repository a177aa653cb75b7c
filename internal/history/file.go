package history

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/detour-relay/detour/internal/smallfile"
)

// A file keeps records on disk, each minute at its place in a ring. It is opened anew each
// time, so it may be moved away meanwhile, or be another process's as well. Whoever writes
// holds a lock beside it.
type file struct {
	path   string
	layout layout // of the records that are handed over
	newest uint64 // the last turn that is known
	seen   bool   // it has been looked through once
}

const (
	// recent is how many turns ago a record may have been begun if it is to be added to:
	// those of a process before this one, or beside it. What is older is of another time at
	// which the clock said the same.
	recent = 3

	lockTries = 40
	lockPause = 50 * time.Millisecond
)

// lock keeps other processes away, and waits for one that is about to finish.
func (f *file) lock() (unlock func(), err error) {
	for range lockTries {
		unlock, err = smallfile.Lock(f.path + ".lock")
		if !errors.Is(err, smallfile.ErrLocked) {
			return unlock, err
		}
		time.Sleep(lockPause)
	}
	return nil, err
}

// there reports whether there is something at its place.
func (f *file) there() bool {
	_, err := os.Lstat(f.path)
	return !errors.Is(err, fs.ErrNotExist)
}

// write adds records to those on disk. Unread tells of a file that could not be used, or of
// parts of it. If err is not nil some may not have been written, and left has them.
func (f *file) write(all []*record) (left []*record, unread, err error) {
	if err := smallfile.MakeDir(filepath.Dir(f.path)); err != nil {
		return all, nil, err
	}
	unlock, err := f.lock()
	if err != nil {
		return all, nil, err
	}
	defer unlock()
	unread, err = f.ready()
	if err != nil {
		return all, unread, err
	}
	disk, on, err := f.open(os.O_RDWR)
	if err != nil {
		return all, unread, err
	}
	for len(all) > 0 {
		if err = f.put(disk, on, all[0]); err != nil {
			break
		}
		all = all[1:]
	}
	return all, unread, f.explain(errors.Join(err, disk.Close()))
}

func (f *file) explain(err error) error {
	if err == nil {
		return nil
	}
	return smallfile.ExplainWrite(f.path, err)
}

// put writes one record at its place.
func (f *file) put(disk *os.File, on layout, r *record) error {
	text := make([]byte, on.size())
	if _, err := disk.ReadAt(text, on.slot(r.minute)); err != nil {
		return err
	}
	before, _ := on.decode(text, r.minute%on.Minutes)
	if before != nil {
		f.newest = max(f.newest, before.turn)
	}
	now := on.from(f.layout, r)
	if before != nil && before.minute == r.minute && !r.again && before.turn+recent > f.newest {
		before.add(now)
		now = before
	} else {
		copied := *now
		now = &copied
		f.newest++
		now.turn = f.newest
	}
	_, err := disk.WriteAt(on.encode(now), on.slot(r.minute))
	return err
}

// read calls yield with the records of the minutes from first to before end.
func (f *file) read(first, end int64, yield func(*record)) error {
	disk, on, err := f.open(os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer disk.Close()
	first = max(first, end-on.Minutes, 0)
	for first < end {
		place := first % on.Minutes
		n := min(end-first, on.Minutes-place, 1024)
		text := make([]byte, n*on.size())
		if _, err := disk.ReadAt(text, on.slot(first)); err != nil {
			return smallfile.Explain(f.path, err)
		}
		for i := range n {
			r, _ := on.decode(text[i*on.size():(i+1)*on.size()], place+i)
			if r != nil && r.minute == first+i {
				yield(f.layout.from(on, r))
			}
		}
		first += n
	}
	return nil
}

// errBroken: the file is there and cannot be used as it is.
var errBroken = errors.New("it cannot be used")

// open opens a file that can be used.
func (f *file) open(flag int) (*os.File, layout, error) {
	disk, info, err := smallfile.Open(f.path) // refuses what is no regular file
	if err != nil {
		return nil, layout{}, err
	}
	on, err := f.look(disk, info.Size())
	if err == nil && flag == os.O_RDONLY {
		return disk, on, nil
	}
	disk.Close()
	if err != nil {
		return nil, on, err
	}
	if disk, err = os.OpenFile(f.path, flag, 0); err != nil {
		return nil, on, smallfile.Explain(f.path, err)
	}
	return disk, on, nil
}

// look reads the header of a file, and whether it is as long as it should be.
func (f *file) look(disk *os.File, size int64) (on layout, err error) {
	header := make([]byte, headerSize)
	if n, err := io.ReadFull(io.NewSectionReader(disk, 0, headerSize), header); err != nil {
		if err != io.EOF && err != io.ErrUnexpectedEOF {
			return on, err
		}
		return on, fmt.Errorf("%s has %d bytes: %w", f.path, n, errBroken)
	}
	if on, err = parseHeader(header, f.layout.Minutes); err != nil {
		return on, fmt.Errorf("%s: %w: %w", f.path, err, errBroken)
	}
	if size != on.fileSize() {
		return on, fmt.Errorf("%s has %d bytes instead of %d: %w", f.path, size, on.fileSize(), errBroken)
	}
	return on, nil
}
