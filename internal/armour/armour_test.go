package armour

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	text := Text("some1", []byte("bytes"))
	if text != "some1mj4xizlte5yitwi" {
		t.Errorf("it is written as %q", text)
	}
	for _, as := range []string{text, strings.ToUpper(text), " " + text[:9] + "\n\t" + text[9:] + "\r\n"} {
		if b, err := Parse("some1", as); string(b) != "bytes" || err != nil {
			t.Errorf("%q is read as %q (%v)", as, b, err)
		}
	}
	for as, want := range map[string]error{
		"":                            ErrScheme,
		"other1" + text[5:]:           ErrScheme,
		"some1":                       ErrCharacters,
		"some1a":                      ErrCharacters,
		text[:len(text)-3] + "1!0":    ErrCharacters,
		text[:len(text)-8]:            ErrChecksum,
		"some1aa" + text[7:]:          ErrChecksum,
		text[:12] + "a" + text[13:]:   ErrChecksum,
		text + strings.Repeat("a", 8): ErrChecksum,
	} {
		if b, err := Parse("some1", as); !errors.Is(err, want) {
			t.Errorf("%q is read as %q (%v), want %v", as, b, err, want)
		}
	}
}

func TestReader(t *testing.T) {
	r := Reader{Rest: append(AppendText(nil, "name"), 7)}
	if r.Text() != "name" || r.Whole() || r.Length() != 7 || !r.Whole() {
		t.Errorf("%v is left", r.Rest)
	}
	if r.Length() != 0 || r.Whole() {
		t.Error("it does not tell that there is no more")
	}
	r = Reader{Rest: []byte{9, 'a'}}
	if r.Text() != "a" || r.Whole() {
		t.Error("it does not tell that a part is missing")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("some1mj4xizlte5yitwi", []byte("bytes"))
	f.Fuzz(func(t *testing.T, text string, b []byte) {
		if read, err := Parse("some1", text); err == nil {
			b = read
		}
		if read, err := Parse("some1", Text("some1", b)); err != nil || !bytes.Equal(read, b) {
			t.Errorf("%x is read as %x (%v)", b, read, err)
		}
	})
}
