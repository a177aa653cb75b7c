package cli

import "testing"

func TestBars(t *testing.T) {
	for _, test := range []struct {
		bars  Bars
		value float64
		want  string
	}{
		{Bars{Width: 10, Longest: 80, Blocks: true}, 80, "██████████"},
		{Bars{Width: 10, Longest: 80, Blocks: true}, 79, "█████████▉"},
		{Bars{Width: 10, Longest: 80, Blocks: true}, 9, "█▏"},
		{Bars{Width: 10, Longest: 80, Blocks: true}, 0.01, "▏"},
		{Bars{Width: 10, Longest: 80}, 80, "##########"},
		{Bars{Width: 10, Longest: 80}, 9, "##"},
		{Bars{Width: 10, Longest: 80}, 0.01, "#"},
		{Bars{Width: 7, Longest: 80}, 80, ""},
		{Bars{Width: -9, Longest: 80}, 80, ""},
		{Bars{Width: 10}, 0, ""},
	} {
		if got := test.bars.Draw(test.value); got != test.want {
			t.Errorf("%+v: %g is %q, want %q", test.bars, test.value, got, test.want)
		}
	}
}

func TestLocaleSaysUTF8(t *testing.T) {
	for _, test := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "de_DE.UTF-8", true},
		{"", "C.utf8", "C", true},
		{"C", "C.UTF-8", "C.UTF-8", false},
		{"POSIX", "", "", false},
		{"", "", "de_DE.ISO-8859-1", false},
	} {
		env := map[string]string{"LC_ALL": test.all, "LC_CTYPE": test.ctype, "LANG": test.lang}
		if got := speaksUTF8(func(name string) string { return env[name] }); got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
	}
}
