package admit

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/text"
	"github.com/detour-relay/detour/key"
)

// A key list has a key a line, and may say more of it:
//
//	# Alice
//	nodekey:<64 hex digits> label=alice until=2027-01-31   # her laptop
//
// The end is a day of UTC, which still counts, or an instant as RFC 3339 has it.

const (
	// mostList bounds a file, and what is not read in pieces: UTF-16 and the line ends
	// of old Macs.
	mostList  = 1 << 30
	mostWhole = 256 << 20

	mostKeys = 5_000_000
	mostLine = 4 << 10

	// peeked is what is looked at before a file is read in pieces: how many lines it may
	// have, and whether it can be.
	peeked = 16 << 10

	// shortest is the length of a line with a key and nothing else.
	shortest = len(keyPrefix) + 2*key.Len + 1
)

const keyPrefix = "nodekey:"

const lineForm = `want nodekey:<64 hex digits>, and after it label=NAME and until=2027-01-31 if you like`

// A listError says what is wrong with a line.
type listError struct {
	line         int
	what, remedy string
}

func (e *listError) Error() string { return fmt.Sprintf("%d: %s: %s", e.line, e.what, e.remedy) }

// A keyList is one that is read.
type keyList struct {
	set   keyset
	line  int
	warns []string // of duplicates
	more  int      // of them that are not said
}

// loadKeys reads a file with keys.
func loadKeys(path string) (*keyList, error) {
	f, info, err := smallfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > mostList {
		return nil, fmt.Errorf("%s has %d MiB: %d are the most; is this the right file?", path, info.Size()>>20, mostList>>20)
	}
	list := &keyList{}
	if err = list.read(f, info.Size()); err == nil {
		list.complete()
		return list, nil
	}
	if wrong, ok := errors.AsType[*listError](err); ok {
		return nil, fmt.Errorf("%s:%w", path, wrong)
	}
	if wrong, ok := errors.AsType[*text.Error](err); ok {
		return nil, fmt.Errorf("%s:%d: %s: %s", path, wrong.Line, wrong.What, wrong.Remedy)
	}
	return nil, smallfile.Explain(path, err)
}

// parseKeys reads a list that is at hand.
func parseKeys(data []byte) (*keyList, error) {
	list := &keyList{}
	if err := list.readWhole(bytes.NewReader(data)); err != nil {
		return nil, err
	}
	list.complete()
	return list, nil
}

// read takes the text apart line by line, without having all of it at a time, if it
// is one that can be.
func (l *keyList) read(from io.Reader, size int64) error {
	r := bufio.NewReaderSize(from, 256<<10)
	begin, err := r.Peek(peeked)
	if err != nil && err != io.EOF {
		return err
	}
	if err == io.EOF || !plain(begin) {
		return l.readWhole(r)
	}
	lines := int64(1 + bytes.Count(begin, []byte("\n")))
	l.set.entries = make([]listed, 0, min(size*lines/peeked*17/16, size/int64(shortest)+1, mostKeys))
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && err != io.EOF {
			if errors.Is(err, bufio.ErrBufferFull) {
				return l.wrong("a line that does not end", "is this a list of keys?")
			}
			return err
		}
		if err := l.add(line); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
	}
}

// plain reports whether the beginning of a text has the line ends and the bytes that
// can be read in pieces.
func plain(begin []byte) bool {
	if bytes.IndexByte(begin, 0) >= 0 || bytes.HasPrefix(begin, []byte{0xff, 0xfe}) || bytes.HasPrefix(begin, []byte{0xfe, 0xff}) {
		return false
	}
	_, err := text.Decode(begin[:bytes.LastIndexByte(begin, '\n')+1])
	return err == nil && bytes.IndexByte(begin, '\n') >= 0
}

// readWhole is for what package text has to look at as a whole.
func (l *keyList) readWhole(from io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(from, mostWhole+1))
	if err != nil {
		return err
	}
	if len(data) > mostWhole {
		return l.wrong("too large for its encoding", "save it as UTF-8 with ordinary line ends")
	}
	if data, err = text.Decode(data); err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		if err := l.add(line); err != nil {
			return err
		}
	}
	return nil
}

// add takes one more line.
func (l *keyList) add(line []byte) (err error) {
	l.line++
	if len(line) > mostLine {
		return l.wrong("a line of more than 4 KiB", "is this a list of keys?")
	}
	if !ascii(line) {
		if line, err = text.Decode(line); err != nil {
			return l.unreadable(err)
		}
	}
	if i := bytes.IndexByte(line, '#'); i >= 0 {
		line = line[:i]
	}
	word, rest := cut(line)
	if len(word) == 0 {
		return nil
	}
	entry := listed{line: uint32(l.line)}
	if !decodeKey(&entry.key, word) {
		return l.noKey(word)
	}
	if err := l.fields(&entry, rest); err != nil {
		return err
	}
	if len(l.set.entries) == mostKeys {
		return l.wrong(fmt.Sprintf("more than %d keys", mostKeys), "let an admission URL decide instead")
	}
	l.set.entries = append(l.set.entries, entry)
	return nil
}

// fields are what a line says of its key.
func (l *keyList) fields(entry *listed, rest []byte) error {
	for {
		var word []byte
		if word, rest = cut(rest); len(word) == 0 {
			return nil
		}
		name, value, ok := bytes.Cut(word, []byte("="))
		switch {
		case ok && string(name) == "label" && entry.label == 0 && len(value) > 0:
			n, err := l.set.labels.number(value)
			if err != nil {
				return l.wrong(err.Error(), "change it")
			}
			entry.label = n
		case ok && string(name) == "until" && entry.until == 0:
			end, err := parseEnd(string(value))
			if what := secretIn(value); what != "" {
				return l.wrong(what, lineForm)
			}
			if err != nil {
				return l.wrong(err.Error(), "want a day such as until=2027-01-31, or an instant such as until=2027-01-31T15:04:05Z")
			}
			entry.until = end
		default:
			return l.noField(word)
		}
	}
}

// parseEnd reads when an entry ends. A day counts to its end.
func parseEnd(said string) (seconds uint32, err error) {
	end, err := time.Parse(time.DateOnly, said)
	if err == nil {
		end = end.AddDate(0, 0, 1)
	} else if end, err = time.Parse(time.RFC3339, said); err != nil {
		return 0, fmt.Errorf("until=%.40q is no date", said)
	}
	return uint32(min(max(1, end.Unix()), latest)), nil // what was before 1970 has ended as well
}

// complete ends the reading.
func (l *keyList) complete() {
	l.set.complete(func(before, last listed) {
		if len(l.warns) == 3 {
			l.more++
			return
		}
		l.warns = append(l.warns, fmt.Sprintf("lines %d and %d say different things of %s: the last counts", before.line, last.line, last.key.Short()))
	})
}

func (l *keyList) wrong(what, remedy string) error { return &listError{l.line, what, remedy} }

func (l *keyList) unreadable(err error) error {
	if wrong, ok := errors.AsType[*text.Error](err); ok {
		return l.wrong(wrong.What, wrong.Remedy)
	}
	return err
}

// noKey says what stands where a key should. Some of it may be a secret, so it is not
// repeated unless it is short.
func (l *keyList) noKey(word []byte) error {
	if s, found := text.FirstStray(word); found {
		return l.wrong(s.String()+" is in the way", s.Remedy())
	}
	if what := secretIn(word); what != "" {
		return l.wrong(what, lineForm)
	}
	said := strings.ToLower(string(word))
	for prefix, what := range map[string]string{
		"mkey:": "a machine key", "discokey:": "a disco key", "nlpub:": "a key of Tailnet Lock", "sha256-raw:": "the pin of a certificate",
	} {
		if strings.HasPrefix(said, prefix) {
			return l.wrong(what, lineForm)
		}
	}
	if _, err := key.ParsePublicHex(said); err == nil {
		return l.wrong("a key without its kind", "write "+keyPrefix+" in front of it")
	}
	if strings.HasPrefix(said, keyPrefix) {
		_, err := key.ParsePublic(said)
		if err == nil {
			err = errors.New("the key is all zeros")
		}
		return l.wrong(strings.TrimPrefix(err.Error(), "public key: "), lineForm)
	}
	return l.wrong(fmt.Sprintf("%.16q is no key", word), lineForm)
}

// secretIn says what secret stands in a word, wherever in it; empty: none that shows.
func secretIn(word []byte) string {
	said := bytes.ToLower(word)
	switch {
	case bytes.Contains(said, []byte("privkey:")):
		return "a private key stands here, which is nobody's business"
	case bytes.Contains(said, []byte("tskey-")):
		return "an auth key or API key of Tailscale, which is a secret"
	}
	return ""
}

func (l *keyList) noField(word []byte) error {
	if s, found := text.FirstStray(word); found {
		return l.wrong(s.String()+" is in the way", s.Remedy())
	}
	if what := secretIn(word); what != "" {
		return l.wrong(what, lineForm)
	}
	remedy := lineForm + "; comments begin with #"
	for _, name := range []string{"label=", "until="} {
		if bytes.Equal(word, []byte(name)) {
			remedy = "say which, or leave it out"
		} else if bytes.HasPrefix(word, []byte(name)) {
			return l.wrong(fmt.Sprintf("a second %s", name), "leave one out")
		}
	}
	return l.wrong(fmt.Sprintf("%.40q means nothing here", word), remedy)
}

// decodeKey reads a key of either case. One of zeros is none.
func decodeKey(k *key.Public, word []byte) bool {
	if len(word) != len(keyPrefix)+2*key.Len || string(word[:len(keyPrefix)]) != keyPrefix {
		return false
	}
	_, err := hex.Decode(k[:], word[len(keyPrefix):])
	return err == nil && !k.IsZero()
}

// cut takes the first word off a line.
func cut(line []byte) (word, rest []byte) {
	begin := 0
	for begin < len(line) && line[begin] <= ' ' {
		begin++
	}
	end := begin
	for end < len(line) && line[end] > ' ' {
		end++
	}
	return line[begin:end], line[end:]
}

func ascii(line []byte) bool {
	for _, b := range line {
		if b >= 0x80 || b == 0 {
			return false
		}
	}
	return true
}

// stamp is what tells that a file is another one.
type stamp struct {
	size  int64
	mtime time.Time
	info  os.FileInfo // its identity
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.Size(), info.ModTime(), info}, nil
}

func (s stamp) same(t stamp) bool {
	if s.info == nil || t.info == nil {
		return s.info == t.info
	}
	return s.size == t.size && s.mtime.Equal(t.mtime) && os.SameFile(s.info, t.info)
}
