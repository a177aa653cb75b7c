package text

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// fromUTF16 returns what is UTF-16 as UTF-8, and other data as it is.
func fromUTF16(data []byte) ([]byte, error) {
	order, marked := orderOf(data)
	if order == nil {
		return data, nil
	}
	if marked {
		data = data[2:]
	}
	out := make([]byte, 0, len(data)/2)
	var run asciiRun
	for i := 0; i+1 < len(data); i += 2 {
		if err := run.unit(data[i], data[i+1], out); err != nil {
			return nil, err
		}
		r := rune(order.Uint16(data[i:]))
		if utf16.IsSurrogate(r) {
			second := rune(0)
			if i+3 < len(data) {
				second = rune(order.Uint16(data[i+2:]))
			}
			if r = utf16.DecodeRune(r, second); r == utf8.RuneError {
				return nil, errorAfter(out, "half a character of UTF-16", "write the file anew, as UTF-8")
			}
			i += 2
		}
		out = utf8.AppendRune(out, r)
	}
	// An odd byte at the end is a newline or a NUL that a program for bytes appended.
	if n := len(data); n%2 == 1 && data[n-1] != '\n' && data[n-1] != 0 && data[n-1] != 0x1a {
		return nil, errorAfter(out, "the file ends within a character of UTF-16", "copy it again, or save it as UTF-8")
	}
	return out, nil
}

// orderOf returns the byte order of UTF-16, or nil for what is not. Without a mark it
// goes by the zero bytes that ASCII has there: most on one side, hardly any on the
// other.
func orderOf(data []byte) (_ binary.ByteOrder, marked bool) {
	if len(data) < 2 {
		return nil, false
	}
	switch binary.BigEndian.Uint16(data) {
	case 0xfeff:
		return binary.BigEndian, true
	case 0xfffe:
		return binary.LittleEndian, true
	}
	var zero [2]int
	padding := len(data) - len(trimPadding(data))
	pairs := (len(data) - padding + 1) / 2
	for i, b := range data[:min(2*pairs, len(data))] {
		if b == 0 {
			zero[i%2]++
		}
	}
	switch {
	case 2*zero[1] > pairs && 10*zero[0] < pairs:
		return binary.LittleEndian, false
	case 2*zero[0] > pairs && 10*zero[1] < pairs:
		return binary.BigEndian, false
	}
	return nil, false
}
