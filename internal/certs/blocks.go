package certs

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

	"github.com/detour-relay/detour/internal/text"
)

// A block is what stands between -----BEGIN and -----END in a file.
type block struct {
	kind      string // such as "CERTIFICATE"
	der       []byte // nil if encrypted
	encrypted bool   // in the manner of RFC 1421
	line      int    // of its BEGIN
}

// readBlocks finds all blocks of a PEM text, in whatever a person's tools have made
// of it: with a byte order mark, in UTF-16, indented, quoted, with \n for newlines or
// none, behind NAME=, with typographic dashes, END and BEGIN on one line. What it
// cannot read is an error that says where and what to do, never left out, unless
// somebody has commented it out beside others. path is for the commands in errors.
func readBlocks(path string, data []byte) ([]block, error) {
	if err := binaryForm(path, data); err != nil {
		return nil, err
	}
	plain, err := text.DecodeASCII(data)
	if err != nil {
		return nil, err
	}
	plain = plainSigns(plain)
	var blocks []block
	var open, comment *marker // comment is the first that somebody has put out of use
	for m := range markers(plain) {
		switch {
		case m.isComment() && open == nil:
			comment = cmp.Or(comment, &m)
		case m.begin && open != nil:
			return nil, open.unfinished()
		case m.begin:
			open = &m
		case open == nil:
			return nil, fmt.Errorf("line %d: -----END %s----- has no BEGIN before it: the beginning of the file is missing, copy it again", m.line, m.kind)
		case open.kind != m.kind:
			return nil, fmt.Errorf("line %d: the block begins as %s and ends as %s in line %d: copy it again", open.line, open.kind, m.kind, m.line)
		default:
			b, err := open.decode(plain, m)
			if err != nil {
				return nil, err
			}
			blocks, open = append(blocks, b), nil
		}
	}
	if open != nil {
		return nil, open.unfinished()
	}
	switch {
	case len(blocks) == 0 && comment != nil:
		return nil, fmt.Errorf("line %d: the block %s is commented out: take the marks before its lines away to use it", comment.line, comment.kind)
	case len(blocks) == 0:
		return nil, noBlocks(path, plain)
	}
	return blocks, nil
}

// plainSigns puts ASCII in the place of what word processors write instead, and
// spaces in that of \n and the like, which C strings, JSON and variables have. All
// lines stay where they are.
func plainSigns(plain []byte) []byte {
	var out []byte
	done := 0
	for s := range text.Strays(plain) {
		out = append(out, plain[done:s.Offset]...)
		meant := s.Meant
		if meant == "-" {
			meant = "--" // which is what they stand for, mostly
		}
		out = append(out, meant...)
		done = s.Offset + len(string(s.Char))
	}
	out = append(out, plain[done:]...)
	for _, escape := range []string{`\r`, `\n`, `\t`} {
		out = bytes.ReplaceAll(out, []byte(escape), []byte("  "))
	}
	return out
}

// markerWords matches what stands between the dashes of a marker.
var markerWords = regexp.MustCompile(`(?i)\b(BEGIN|END)[ \t]+([A-Z0-9#][A-Z0-9# ]*[A-Z0-9])`)

// A marker is one -----BEGIN X----- or -----END X-----.
type marker struct {
	begin      bool
	kind       string
	line       int
	prefix     string // what stands before it on its line
	start, end int    // in the text, dashes included
}

// markers goes through the markers of a text.
func markers(plain []byte) func(yield func(marker) bool) {
	return func(yield func(marker) bool) {
		for _, at := range markerWords.FindAllSubmatchIndex(plain, -1) {
			before := bytes.TrimRight(plain[:at[0]], " \t")
			after := bytes.TrimLeft(plain[at[1]:], " \t")
			if !bytes.HasSuffix(before, []byte("--")) || !bytes.HasPrefix(after, []byte("--")) {
				continue
			}
			start := len(bytes.TrimRight(before, "-"))
			line, _ := text.Place(plain, at[0])
			m := marker{
				begin: len(plain[at[2]:at[3]]) == len("BEGIN"), kind: kindOf(plain[at[4]:at[5]]), line: line,
				prefix: string(plain[bytes.LastIndexByte(plain[:start], '\n')+1 : start]),
				start:  start, end: len(plain) - len(bytes.TrimLeft(after, "-")),
			}
			if !yield(m) {
				return
			}
		}
	}
}

// kindOf is the name of a kind of block, of several names the usual one.
func kindOf(words []byte) string {
	kind := strings.ToUpper(strings.Join(strings.Fields(string(words)), " "))
	switch kind {
	case "X509 CERTIFICATE":
		return "CERTIFICATE"
	case "NEW CERTIFICATE REQUEST":
		return "CERTIFICATE REQUEST"
	case "PKCS #7 SIGNED DATA", "CMS":
		return "PKCS7"
	}
	return kind
}

func (m *marker) unfinished() error {
	return fmt.Errorf("line %d: the block %s has no -----END %s-----: the file was cut off, copy it again", m.line, m.kind, m.kind)
}

func (m *marker) isComment() bool {
	prefix := strings.TrimSpace(m.prefix)
	return strings.HasPrefix(prefix, "#") || strings.HasPrefix(prefix, ";") || strings.HasPrefix(prefix, "//")
}

// decode reads what stands between a BEGIN and its END.
func (m *marker) decode(plain []byte, end marker) (block, error) {
	b := block{kind: m.kind, line: m.line}
	body := plain[m.end:end.start]
	if bytes.Contains(body, []byte("Proc-Type:")) && bytes.Contains(body, []byte("ENCRYPTED")) {
		b.encrypted = true
		return b, nil
	}
	quote := strings.TrimSpace(m.prefix) // as mail has before every line
	if strings.Trim(quote, ">|*") != "" {
		quote = ""
	}
	var digits []byte
	at := m.end
	for line := range bytes.Lines(body) {
		bare := bytes.TrimPrefix(bytes.TrimSpace(line), []byte(quote))
		if !bytes.Contains(bare, []byte(":")) { // a header
			for i, c := range line {
				if isDigit(c) {
					digits = append(digits, c)
				} else if !bytes.Contains([]byte(" \t\n\"'`,;\\"+quote), line[i:i+1]) {
					return b, m.strange(plain, at+i)
				}
			}
		}
		at += len(line)
	}
	if len(digits) == 0 {
		return b, fmt.Errorf("line %d: nothing stands between BEGIN and END of the block %s: copy it again", m.line, m.kind)
	}
	der, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(string(digits), "="))
	if err != nil {
		return b, fmt.Errorf("line %d: the block %s is damaged, a part of it is missing or stands there twice: copy it again", m.line, m.kind)
	}
	b.der = der
	return b, nil
}

// strange is about a character that no block has.
func (m *marker) strange(plain []byte, at int) error {
	line, column := text.Place(plain, at)
	return fmt.Errorf("line %d: the block %s is damaged, character %d of line %d cannot be in it: copy it again", m.line, m.kind, column, line)
}

func isDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '='
}
