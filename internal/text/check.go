package text

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// check looks for what no text has.
func check(data []byte) error {
	for i := 0; i < len(data); {
		if begins16(data, i) {
			return errorAfter(data[:i], "UTF-16 begins here, in a file that is none before", mixedRemedy)
		}
		if data[i] == 0 {
			return errorAfter(data[:i], "a NUL byte stands here, so this is no text, or it was damaged",
				"take it out, or write the file anew as UTF-8")
		}
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return notUTF8(data, i)
		}
		i += size
	}
	return nil
}

func notUTF8(data []byte, at int) error {
	b := data[at]
	switch {
	case !utf8.FullRune(data[at:]):
		return errorAfter(data[:at], "the file ends within a character",
			"copy it again, or take its last character out")
	case b >= 0x80 && western(b) != 0:
		return errorAfter(data[:at],
			fmt.Sprintf("byte 0x%02x is no UTF-8; in Latin-1 or Windows-1252 it would be %q", b, western(b)),
			"save the file as UTF-8, or convert it with iconv -f WINDOWS-1252 -t UTF-8")
	}
	return errorAfter(data[:at], fmt.Sprintf("byte 0x%02x is no UTF-8", b), "save the file as UTF-8")
}

// windows1252 has what the bytes from 0x80 to 0x9f mean in Windows-1252; elsewhere it
// is Latin-1. Zero: nothing.
var windows1252 = [32]rune{
	'€', 0, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0, 'Ž', 0,
	0, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0, 'ž', 'Ÿ',
}

func western(b byte) rune {
	if b < 0xa0 {
		return windows1252[b-0x80]
	}
	return rune(b)
}

// containers begin with bytes that say what they are, and none of them is text that a
// reader of ours takes.
var containers = []struct{ begins, what, remedy string }{
	{"\x1f\x8b", "this is a gzip file", "unpack it with gunzip"},
	{"PK\x03\x04", "this is a zip file, or a document of a word processor", "unpack it, or save it as plain text"},
	{"\xfd7zXZ", "this is an xz file", "unpack it with unxz"},
	{"BZh", "this is a bzip2 file", "unpack it with bunzip2"},
	{"\x28\xb5\x2f\xfd", "this is a zstd file", "unpack it with unzstd"},
	{"{\\rtf", "this is rich text of a word processor", "save it as plain text"},
	{"%PDF-", "this is a PDF file", "name the text that it was made of"},
	{"\x7fELF", "this is a program", "name the text file"},
	{"SQLite format 3\x00", "this is a database", "name the text file"},
	{"\xd0\xcf\x11\xe0", "this is a document of a word processor", "save it as plain text"},
	{"$ANSIBLE_VAULT;", "this is encrypted by Ansible Vault", "decrypt it with ansible-vault decrypt"},
	{"-----BEGIN AGE ENCRYPTED FILE-----", "this is encrypted with age", "decrypt it with age -d"},
	{"age-encryption.org/", "this is encrypted with age", "decrypt it with age -d"},
	{"-----BEGIN PGP MESSAGE-----", "this is encrypted with PGP", "decrypt it with gpg -d"},
	{"\x00GITCRYPT\x00", "this is encrypted by git-crypt", "decrypt it with git-crypt unlock"},
	{"Salted__", "this is encrypted with openssl enc", "decrypt it with openssl enc -d"},
	{"version https://git-lfs.github.com/", "this is a pointer of Git LFS, not the file itself", "get that with git lfs pull"},
}

// foreign names what is recognised by its first bytes and cannot be read.
func foreign(data []byte) error {
	for _, c := range containers {
		if bytes.HasPrefix(data, []byte(c.begins)) {
			return &Error{1, 1, c.what, c.remedy}
		}
	}
	if isUTF32(data) {
		return &Error{1, 1, "this is UTF-32", "save it as UTF-8, or convert it with iconv -f UTF-32 -t UTF-8"}
	}
	return nil
}

// isUTF32 goes by the mark, or by three zero bytes of four in the first characters.
func isUTF32(data []byte) bool {
	if len(data) < 8 {
		return false
	}
	switch {
	case binary.BigEndian.Uint32(data) == 0xfeff, binary.LittleEndian.Uint32(data) == 0xfeff:
		return true
	}
	a, b := data[:4], data[4:8]
	ascii := func(x uint32) bool { return 0 < x && x < 0x80 }
	return ascii(binary.BigEndian.Uint32(a)) && ascii(binary.BigEndian.Uint32(b)) ||
		ascii(binary.LittleEndian.Uint32(a)) && ascii(binary.LittleEndian.Uint32(b))
}

// errorAfter is an error at the place behind what is before it.
func errorAfter(before []byte, what, remedy string) *Error {
	line, column := Place(before, len(before))
	return &Error{line, column, what, remedy}
}

// Place returns line and column of an offset, both from 1, columns in characters.
func Place(text []byte, offset int) (line, column int) {
	before := text[:min(offset, len(text))]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}
