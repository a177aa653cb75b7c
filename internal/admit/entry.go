package admit

import (
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/detour-relay/detour/key"
)

// An Entry lets a key in.
type Entry struct {
	Key   key.Public `json:"key"`
	Label string     `json:"label,omitempty"` // the group with which the peer is counted and limited
	Until time.Time  `json:"until,omitzero"`  // from when on it lets in no more; zero: never
	Name  string     `json:"name,omitempty"`  // of the machine, as far as an import knows; for people

	// From is where the entry stands: FromAllow, FromImport and the name of the set, or
	// the file. It is for who reads; who allows or imports leaves it empty.
	From string `json:"from,omitempty"`
}

// What Entry.From says of the relay's own list.
const (
	FromAllow  = "allow"
	FromImport = "import " // and the name of the set
)

// ended reports whether the entry lets in no more.
func (e *Entry) ended(now time.Time) bool { return !e.Until.IsZero() && !now.Before(e.Until) }

// A Ban keeps a key out, whatever else lets it in.
type Ban struct {
	Key   key.Public `json:"key"`
	Since time.Time  `json:"since"`
	Until time.Time  `json:"until,omitzero"` // zero: for good
	Why   string     `json:"why,omitempty"`  // for people
}

func (b *Ban) ended(now time.Time) bool { return !b.Until.IsZero() && !now.Before(b.Until) }

// What people write is bounded, and stands on one line.
const (
	mostLabel = 64
	mostWords = 256
)

// checkLabel makes sure that a label can stand in a list, and in a setting.
func checkLabel(label string) error {
	if len(label) > mostLabel {
		return fmt.Errorf("the label has %d bytes: want %d at most", len(label), mostLabel)
	}
	for _, r := range label {
		if r == utf8.RuneError || !unicode.IsPrint(r) || r == ' ' || r == '#' || r == '"' || r == '=' || r == ',' {
			return fmt.Errorf("label %q: want letters, digits and signs such as - . _ @, without white space", label)
		}
	}
	return nil
}

// checkWords makes sure that a text for people stands on one line.
func checkWords(what, words string) error {
	if len(words) > mostWords {
		return fmt.Errorf("%s has %d bytes: want %d at most", what, len(words), mostWords)
	}
	for _, r := range words {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return fmt.Errorf("%s %q: want a line of text", what, words)
		}
	}
	return nil
}

func (e *Entry) check() error {
	if e.Key.IsZero() {
		return errors.New("the key is missing, or all zeros")
	}
	if err := checkLabel(e.Label); err != nil {
		return err
	}
	return checkWords("the name", e.Name)
}

func (b *Ban) check() error {
	if b.Key.IsZero() {
		return errors.New("the key is missing, or all zeros")
	}
	return checkWords("the reason", b.Why)
}
