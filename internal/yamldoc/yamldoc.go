// Package yamldoc reads texts that are one document of YAML, and says where and how to
// mend what the parser does not take: it names the beginning of what it was reading,
// and speaks of tokens.
package yamldoc

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// Error is what is wrong with a text. Line and Column count from 1, columns in
// characters.
type Error struct {
	Line, Column int
	Code         string // what kind of fault it is; the codes below, or "tab", "syntax", "stray-character"
	What, Remedy string
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s: %s", e.Line, e.Column, e.What, e.Remedy)
}

// Codes of errors that callers have words of their own for.
const (
	Empty  = "empty"           // nothing but comments
	Second = "second-document" // begins where the error is
	Large  = "large"           // more values than were asked for
)

// Read returns the root of the one document of a text in UTF-8 with LF. More than so
// many values are refused before the parser makes nodes of them. Its error is an
// [*Error].
func Read(source []byte, most int) (root *yaml.Node, err error) {
	// The parser promises no panics, but it is large, and what it reads may come
	// from anybody.
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, &Error{1, 1, "syntax", fmt.Sprintf("the YAML reader gave up: %v", p), mendFirst}
		}
	}()
	if marksOf(source) > most {
		return nil, &Error{1, 1, Large, fmt.Sprintf("it has more than %d values", most), mendFirst}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, &Error{1, 1, Empty, "it is empty: it has nothing but comments", "write something into it"}
	} else if err != nil {
		return nil, Explain(source, err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, &Error{second.Line, second.Column, Second, "a second document begins here", "take out the --- and what does not belong here"}
	} else if !errors.Is(err, io.EOF) {
		return nil, Explain(source, err)
	}
	return document.Content[0], nil
}

const mendFirst = "nothing can be read before this is put right"

// marksOf counts what begins a value in YAML, before the parser makes nodes of them.
func marksOf(source []byte) (n int) {
	for i, c := range source {
		next := byte('\n')
		if i+1 < len(source) {
			next = source[i+1]
		}
		switch c {
		case '[', '{', ',':
			n++
		case ':', '-', '?':
			if next == ' ' || next == '\t' || next == '\n' || i > 0 && source[i-1] == '"' {
				n++
			}
		}
	}
	return n
}
