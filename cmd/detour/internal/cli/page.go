package cli

import (
	"cmp"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// Page is what a table is printed on.
type Page struct {
	Width  int // in columns
	Height int // in lines; 0: without end
	UTF8   bool
}

const usualWidth = 80

// PageOf returns that of a terminal, and the usual one of everything else.
func PageOf(w io.Writer) Page {
	p := Page{Width: usualWidth, UTF8: speaksUTF8(os.Getenv)}
	if file, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			p.Width, p.Height = width, height
		}
	}
	return p
}

// speaksUTF8 tells it by the locale. The console of Windows has no locale, and always does.
func speaksUTF8(getenv func(string) string) bool {
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8") ||
		locale == "" && runtime.GOOS == "windows"
}

// Bars compare values by their lengths.
type Bars struct {
	Width   int     // of the longest, in columns
	Longest float64 // value
	Blocks  bool    // drawn with block characters, in eighths of a column
}

// leastWidth is what bars need to tell anything.
const leastWidth = 8

var eighths = []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}

// Draw returns the bar of a value; there is something of each.
func (b Bars) Draw(value float64) string {
	if b.Width < leastWidth || b.Longest <= 0 {
		return ""
	}
	length := max(int(value/b.Longest*float64(8*b.Width)), 1)
	if b.Blocks {
		return strings.Repeat("█", length/8) + eighths[length%8]
	}
	return strings.Repeat("#", (length+7)/8)
}
