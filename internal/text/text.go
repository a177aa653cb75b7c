// Package text reads text files as people's editors write them: certificates, keys,
// lists and maps all pass through it before their own readers see them.
//
// [Decode] makes UTF-8 with LF out of what Notepad, PowerShell, old Macs and DOS
// write, and says line, column and remedy of what is no text. [Strays] finds the
// characters that word processors put in place of ASCII, for readers that fail or
// that would keep one silently in a value. Whoever calls bounds the size.
package text

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Error says why a file is no text that can be read. Line and Column count from 1,
// columns in characters.
type Error struct {
	Line, Column int
	What         string
	Remedy       string
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s: %s", e.Line, e.Column, e.What, e.Remedy)
}

// bom is the byte order mark in UTF-8.
var bom = []byte("\ufeff")

// Decode returns a text in UTF-8 whose lines end in LF. It understands UTF-8 and
// UTF-16, with a byte order mark or without, CRLF and CR, and drops what pads the end
// of a file (Ctrl-Z, NUL) and a byte order mark before any line, as files have that
// were put together. Its error is an [*Error].
//
// The result may share memory with data, which is not written to.
func Decode(data []byte) ([]byte, error) { return decode(data, false) }

// DecodeASCII is Decode for texts of which only the ASCII counts, and the rest is
// comment: PEM and keys. What is no UTF-8 is taken for Windows-1252, so that neither a
// comment nor a dash of that is in the way.
func DecodeASCII(data []byte) ([]byte, error) { return decode(data, true) }

func decode(data []byte, ascii bool) ([]byte, error) {
	if err := foreign(data); err != nil {
		return nil, err
	}
	data, err := fromUTF16(data)
	if err != nil {
		return nil, err
	}
	data = trimPadding(dropMarks(newlines(data))) // the marks first: one at the end may hide padding
	if ascii {
		data = fromWestern(data)
	}
	if err := check(data); err != nil {
		return nil, err
	}
	return data, nil
}

// fromWestern returns bytes that are no UTF-8 as what they are in Windows-1252. A mark
// of UTF-16 among them stays, and is an error later.
func fromWestern(data []byte) []byte {
	if utf8.Valid(data) {
		return data
	}
	var out []byte
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r != utf8.RuneError || size > 1 || begins16(data, i):
			out = append(out, data[i:i+size]...)
		case western(data[i]) != 0:
			out = utf8.AppendRune(out, western(data[i]))
		default:
			out = utf8.AppendRune(out, utf8.RuneError)
		}
		i += size
	}
	return out
}

// trimPadding cuts the Ctrl-Z that ended files of DOS, and the NULs that fill what a
// crash left unwritten. Both stay if there is text behind them.
func trimPadding(data []byte) []byte {
	end := len(bytes.TrimRight(data, "\x1a\x00 \t\r\n"))
	if i := bytes.IndexAny(data[end:], "\x1a\x00"); i >= 0 {
		return data[:end+i]
	}
	return data
}

// newlines turns CRLF and CR into LF.
func newlines(data []byte) []byte {
	if bytes.IndexByte(data, '\r') < 0 {
		return data
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
}

// dropMarks drops byte order marks at the beginnings of lines.
func dropMarks(data []byte) []byte {
	for bytes.HasPrefix(data, bom) {
		data = data[len(bom):]
	}
	marked := append([]byte("\n"), bom...)
	for bytes.Contains(data, marked) {
		data = bytes.ReplaceAll(data, marked, []byte("\n"))
	}
	return data
}
