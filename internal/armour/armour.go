// Package armour writes bytes as text that people copy from one place to another: a
// scheme that says what it is, letters and digits that survive, and a checksum by which a
// text is known that has lost a part. Case and white space do not matter.
package armour

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strings"
)

// Why a text is refused.
var (
	ErrScheme     = errors.New("it is something else")
	ErrCharacters = errors.New("it has characters that none has, or too few")
	ErrChecksum   = errors.New("its checksum does not fit: a part is missing or mistyped")
)

const checkLen = 4

var plain = base32.StdEncoding.WithPadding(base32.NoPadding)

// Text returns the bytes as text of a scheme, which is in lower case.
func Text(scheme string, b []byte) string {
	sum := sha256.Sum256(b)
	return scheme + strings.ToLower(plain.EncodeToString(append(b[:len(b):len(b)], sum[:checkLen]...)))
}

// Parse reads what Text has written.
func Parse(scheme, text string) ([]byte, error) {
	text = strings.ToLower(strings.Join(strings.Fields(text), ""))
	coded, ok := strings.CutPrefix(text, scheme)
	if !ok {
		return nil, ErrScheme
	}
	b, err := plain.DecodeString(strings.ToUpper(coded))
	if err != nil || len(b) < checkLen {
		return nil, ErrCharacters
	}
	body, check := b[:len(b)-checkLen], b[len(b)-checkLen:]
	if sum := sha256.Sum256(body); binary.BigEndian.Uint32(sum[:]) != binary.BigEndian.Uint32(check) {
		return nil, ErrChecksum
	}
	return body, nil
}

// A Reader takes the bytes apart again.
type Reader struct {
	Rest  []byte
	Short bool // more was wanted than there is
}

// Take returns the next n bytes, or as many as there are.
func (r *Reader) Take(n int) []byte {
	if n > len(r.Rest) {
		r.Short, n = true, len(r.Rest)
	}
	b := r.Rest[:n]
	r.Rest = r.Rest[n:]
	return b
}

// Length returns the next byte, as the length of something.
func (r *Reader) Length() int {
	if b := r.Take(1); len(b) == 1 {
		return int(b[0])
	}
	return 0
}

// Text returns the next text, behind its length.
func (r *Reader) Text() string { return string(r.Take(r.Length())) }

// Whole reports whether all was there, and nothing more.
func (r *Reader) Whole() bool { return !r.Short && len(r.Rest) == 0 }

// AppendText appends a text of at most 255 bytes behind its length.
func AppendText(b []byte, text string) []byte {
	return append(append(b, byte(len(text))), text...)
}
