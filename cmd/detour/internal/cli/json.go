package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// WriteJSON writes a value in one line. Characters that only HTML minds stay as they are: the JSON is for
// programs and for people at a terminal. What a terminal would obey is escaped, in names that others have chosen.
func WriteJSON(w io.Writer, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := w.Write(plainJSON(text.Bytes()))
	return err
}

// plainJSON escapes what cannot be printed. Outside of strings there is none of it but the newline at the end.
func plainJSON(text []byte) []byte {
	isOrder := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	if !bytes.ContainsFunc(text, isOrder) {
		return text
	}
	plain := make([]byte, 0, len(text)+64)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case !isOrder(r):
			plain = append(plain, text[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			plain = fmt.Appendf(plain, `\u%04x\u%04x`, high, low)
		default:
			plain = fmt.Appendf(plain, `\u%04x`, r)
		}
		text = text[n:]
	}
	return plain
}
