package text

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// in16 writes a text in UTF-16.
func in16(order binary.AppendByteOrder, s string) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

func in32(order binary.AppendByteOrder, s string) string {
	var out []byte
	for _, r := range s {
		out = order.AppendUint32(out, uint32(r))
	}
	return string(out)
}

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

func TestDecodeUnderstands(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"nothing":                  {"", ""},
		"plain":                    {"a: ä\n", "a: ä\n"},
		"UTF-8 with BOM":           {"\ufeffa\n", "a\n"},
		"two BOMs":                 {"\ufeff\ufeffa\n", "a\n"},
		"BOM of a second file":     {"a\n\ufeffb\n", "a\nb\n"},
		"BOM after CRLF":           {"a\r\n\ufeffb\r\n", "a\nb\n"},
		"BOM alone":                {"\ufeff", ""},
		"CRLF":                     {"a\r\nb\r\n", "a\nb\n"},
		"CR":                       {"a\rb\r", "a\nb\n"},
		"all three":                {"a\rb\r\nc\nd", "a\nb\nc\nd"},
		"Ctrl-Z":                   {"a\n\x1a", "a\n"},
		"Ctrl-Z and newline":       {"a\n\x1a\r\n", "a\n"},
		"NUL padding":              {"a\n\x00\x00\x00", "a\n"},
		"one NUL":                  {"a\x00", "a"},
		"both":                     {"a\r\n\x1a\x00\x00", "a\n"},
		"only padding":             {"\x00\x00\x00\x00", ""},
		"UTF-16LE with BOM":        {"\xff\xfe" + in16(le, "ä: 𝄞\r\n"), "ä: 𝄞\n"},
		"UTF-16BE with BOM":        {"\xfe\xff" + in16(be, "ä: 𝄞\r\n"), "ä: 𝄞\n"},
		"UTF-16LE without":         {in16(le, "{\"name\": \"Köln\"}\r\n"), "{\"name\": \"Köln\"}\n"},
		"UTF-16BE without":         {in16(be, "{\"name\": \"Köln\"}\r\n"), "{\"name\": \"Köln\"}\n"},
		"UTF-16LE padded":          {"\xff\xfe" + in16(le, "ab\r\n\x1a\x00\x00"), "ab\n"},
		"UTF-16LE and a byte LF":   {"\xff\xfe" + in16(le, "ab\n") + "\n", "ab\n"},
		"UTF-16LE padded unmarked": {in16(le, "ab\n") + "\x00\x00\x00\x00\x00", "ab\n"},
		"UTF-16 BOM alone":         {"\xff\xfe", ""},
		"two files of UTF-16":      {"\xff\xfe" + in16(le, "a\r\n") + "\xff\xfe" + in16(le, "b\r\n"), "a\nb\n"},
		"Chinese like ASCII":       {"\xff\xfe" + in16(le, "# 扡摣敦楧歪浬湯灱\n"), "# 扡摣敦楧歪浬湯灱\n"},
	} {
		got, err := Decode([]byte(test.in))
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, test.want)
		}
	}
}

func TestDecodeNamesWhatIsNoText(t *testing.T) {
	for name, test := range map[string]struct {
		in           string
		line, column int
		what, remedy string // parts
	}{
		"NUL inside":        {"a\r\nb\x00c\n", 2, 2, "NUL", "take it out"},
		"Latin-1":           {"a\nM\xe9xico\n", 2, 2, "'é'", "UTF-8"},
		"Latin-1 after CR":  {"a\rM\xe9xico\r", 2, 2, "'é'", "iconv"},
		"Windows-1252":      {"\x93quoted\x94", 1, 1, "'“'", "iconv"},
		"no Windows-1252":   {"a\x81b", 1, 2, "0x81 is no UTF-8", "save"},
		"behind umlauts":    {"äöü\xff", 1, 4, "'ÿ'", "UTF-8"},
		"UTF-8 cut off":     {"a\xe2\x82", 1, 2, "ends within a character", "copy"},
		"UTF-32LE":          {in32(le, "\ufeffab"), 1, 1, "UTF-32", "iconv"},
		"UTF-32BE":          {in32(be, "\ufeffab"), 1, 1, "UTF-32", "iconv"},
		"UTF-32LE unmarked": {in32(le, "regions"), 1, 1, "UTF-32", "iconv"},
		"UTF-32BE unmarked": {in32(be, "regions"), 1, 1, "UTF-32", "iconv"},
		"half a surrogate":  {"\xff\xfe" + in16(le, "a\n") + "\x00\xd8a\x00", 2, 1, "half", "UTF-8"},
		"UTF-16 cut off":    {"\xff\xfe" + in16(le, "ab") + "c", 1, 3, "ends within", "copy"},
		"NUL in UTF-16":     {"\xff\xfe" + in16(le, "a\x00b\n"), 1, 2, "NUL", "take it out"},
		"UTF-8 behind 16":   {"\xff\xfe" + in16(le, "ab\r\n") + part, 2, 1, "UTF-8 stands here", "save each part"},
		"UTF-8 before 16":   {part + in16(le, part+part), 1, 1, "UTF-8 stands here", "put them together again"},
		"some 16 behind":    {part + part + in16(le, "abcdef"), 3, 2, "UTF-16 begins here", "save each part"},
		"marked 16 behind":  {part + part + "\xff\xfe" + in16(le, "abc\r\n"), 3, 1, "UTF-16 begins here", "save each part"},
		"big endian behind": {part + part + in16(be, "abcdef"), 3, 1, "UTF-16 begins here", "save each part"},
		"Ansible Vault":     {"$ANSIBLE_VAULT;1.1;AES256\n6162\n", 1, 1, "Ansible Vault", "ansible-vault decrypt"},
		"age":               {"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", 1, 1, "age", "age -d"},
		"PGP":               {"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n", 1, 1, "PGP", "gpg -d"},
		"git-crypt":         {"\x00GITCRYPT\x00abc", 1, 1, "git-crypt", "git-crypt unlock"},
		"Git LFS":           {"version https://git-lfs.github.com/spec/v1\n", 1, 1, "Git LFS", "git lfs pull"},
		"gzip":              {"\x1f\x8b\x08\x00", 1, 1, "gzip", "gunzip"},
		"zip or docx":       {"PK\x03\x04...", 1, 1, "word processor", "plain text"},
		"rich text":         {`{\rtf1\ansi {"Regions"`, 1, 1, "rich text", "plain text"},
	} {
		got, err := Decode([]byte(test.in))
		e := new(Error)
		if !errors.As(err, &e) {
			t.Errorf("%s: %q, %v", name, got, err)
			continue
		}
		if e.Line != test.line || e.Column != test.column || !strings.Contains(e.What, test.what) || !strings.Contains(e.Remedy, test.remedy) {
			t.Errorf("%s: %v; want %d:%d, %q, %q", name, e, test.line, test.column, test.what, test.remedy)
		}
	}
}

// part is a line of a file that was put together of several encodings.
const part = "regions: what stands in this line is a part of the file\n"

func TestDecodeASCIITakesCommentsInAnyEncoding(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"Latin-1 comment": {"# M\xfcnchen\nabc\n", "# München\nabc\n"},
		"dash of Word":    {"\x97BEGIN\x97\r\n", "—BEGIN—\n"},
		"both":            {"# Köln, M\xfcnchen\n", "# Köln, München\n"},
		"no character":    {"a\x81b", "a\ufffdb"},
		"UTF-8":           {"# Köln\n", "# Köln\n"},
	} {
		if got, err := DecodeASCII([]byte(test.in)); err != nil || string(got) != test.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, bad := range []string{"a\x00b\xfc", "# M\xfcnchen\n" + part + "\xff\xfe" + in16(le, part), "\xfc" + part + part + in16(le, "abcdef")} {
		if got, err := DecodeASCII([]byte(bad)); err == nil {
			t.Errorf("took %q for %q", bad, got)
		}
	}
}

// Whatever an editor does to a text, the text is the same again.
func TestDecodeUndoesWhatEditorsDo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("abcxyz {}[]:,\"'0123456789-#\n\nä")
	for range 2000 {
		var plain strings.Builder
		plain.WriteString("{") // a text of ours begins in ASCII
		for range random.IntN(40) {
			plain.WriteRune(alphabet[random.IntN(len(alphabet))])
		}
		want := plain.String() + "}\n"
		for name, edited := range editions(want) {
			if got, err := Decode([]byte(edited)); err != nil || string(got) != want {
				t.Fatalf("%s: %q: %q, %v; want %q", name, edited, got, err, want)
			}
		}
	}
}

func editions(s string) map[string]string {
	crlf := strings.ReplaceAll(s, "\n", "\r\n")
	all := map[string]string{
		"as it is": s, "BOM": "\ufeff" + s, "CRLF": crlf, "BOM, CRLF": "\ufeff" + crlf,
		"CR": strings.ReplaceAll(s, "\n", "\r"), "Ctrl-Z": crlf + "\x1a", "NULs": s + "\x00\x00\x00",
		"LE with BOM": in16(le, "\ufeff"+crlf), "BE with BOM": in16(be, "\ufeff"+crlf),
	}
	ascii := 0
	for _, r := range crlf {
		if r < utf8.RuneSelf {
			ascii++
		}
	}
	if 2*ascii > utf8.RuneCountInString(crlf) { // else nothing tells it without a mark
		all["LE"], all["BE"] = in16(le, crlf), in16(be, crlf)
	}
	return all
}

func TestStrays(t *testing.T) {
	text := "regions:\n\u00a0 900:\n  host: a\u200bb\n  \u201cx\u201d: \u2013\n  n: K\u00f6ln\u00adx\n"
	want := []string{
		"2:1 a no-break space (U+00A0): write an ordinary space",
		"3:10 a zero-width space (U+200B): take it out",
		"4:3 a smart double quote (U+201C): write a straight quote \"",
		"4:5 a smart double quote (U+201D): write a straight quote \"",
		"4:8 an en dash (U+2013): write -",
		"5:10 a soft hyphen (U+00AD): take it out",
	}
	i := 0
	for s := range Strays([]byte(text)) {
		line, column := Place([]byte(text), s.Offset)
		if line != s.Line || column != s.Column {
			t.Errorf("%v: at %d:%d, but its offset is at %d:%d", s, s.Line, s.Column, line, column)
		}
		got := fmt.Sprintf("%d:%d %v: %s", line, column, s, s.Remedy())
		if i >= len(want) || got != want[i] {
			t.Errorf("got %q", got)
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d strays, want %d", i, len(want))
	}
	if s, ok := FirstStray([]byte("a: ä")); ok {
		t.Errorf("letters are none: %v", s)
	}
	if s, ok := FirstStray([]byte("a\uff1a b")); !ok || s.Meant != ":" {
		t.Errorf("full-width colon: %v", s)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range editions("{\"a\": 1}\n") {
		f.Add([]byte(s))
	}
	f.Add([]byte("\xff\xfe\x00\xd8"))
	f.Add([]byte("a\xe9"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		got, err := Decode(data)
		if !bytes.Equal(before, data) {
			t.Fatal("what was decoded was written to")
		}
		if err != nil {
			e := new(Error)
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || e.What == "" || e.Remedy == "" {
				t.Fatalf("not all there: %#v", err)
			}
			return
		}
		if !utf8.Valid(got) || bytes.ContainsAny(got, "\r\x00") {
			t.Fatalf("%q is not clean", got)
		}
		if again, err := Decode(got); err == nil && !bytes.Equal(again, got) {
			t.Fatalf("decoded twice: %q, then %q", got, again)
		}
		for s := range Strays(got) {
			if s.Name == "" || s.Offset >= len(got) {
				t.Fatalf("%#v", s)
			}
		}
	})
}
