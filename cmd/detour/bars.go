package main

import (
	"cmp"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// page is what a table is printed on.
type page struct {
	width int // in columns
	utf8  bool
}

const usualWidth = 80

// pageOf returns that of a terminal, and the usual one of everything else.
func pageOf(w io.Writer) page {
	p := page{width: usualWidth, utf8: speaksUTF8(os.Getenv)}
	if file, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			p.width = width
		}
	}
	return p
}

// speaksUTF8 tells it by the locale. The console of Windows has no locale, and always does.
func speaksUTF8(getenv func(string) string) bool {
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8") || locale == "" && runtime.GOOS == "windows"
}

// bars compare values by their lengths.
type bars struct {
	width   int     // of the longest, in columns
	longest float64 // value
	blocks  bool    // drawn with block characters, in eighths of a column
}

// leastWidth is what bars need to tell anything.
const leastWidth = 8

var eighths = []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}

// draw returns the bar of a value; there is something of each.
func (b bars) draw(value float64) string {
	if b.width < leastWidth || b.longest <= 0 {
		return ""
	}
	length := max(int(value/b.longest*float64(8*b.width)), 1)
	if b.blocks {
		return strings.Repeat("█", length/8) + eighths[length%8]
	}
	return strings.Repeat("#", (length+7)/8)
}
