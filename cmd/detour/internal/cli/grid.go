package cli

import (
	"bufio"
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// A Head is the first cell of a column.
type Head struct {
	Name  string
	Right bool // numbers stand below each other

	// Rank is in which order columns give way on narrow terminals: the highest first.
	Rank int
}

// A Grid is cells in columns.
type Grid struct {
	heads  []Head
	rows   [][]string // one cell a head
	widths []int
}

// NewGrid lays cells out, as wide as they are.
func NewGrid(heads []Head, rows [][]string) *Grid {
	g := &Grid{heads: slices.Clone(heads), rows: rows}
	g.widths = make([]int, len(g.heads))
	for j, h := range g.heads {
		g.widths[j] = len(h.Name)
		for _, row := range rows {
			g.widths[j] = max(g.widths[j], ansi.StringWidth(row[j]))
		}
	}
	return g
}

// gap is between two columns.
const gap = 2

// Width is how many columns of a terminal it takes.
func (g *Grid) Width() int {
	total := gap * (len(g.widths) - 1)
	for _, w := range g.widths {
		total += w
	}
	return total
}

// Fit takes out columns until the others fit, or one is left; width 0: everything does.
func (g *Grid) Fit(width int) {
	for width > 0 && g.Width() > width && len(g.heads) > 1 {
		g.giveWay()
	}
}

// giveWay takes out the column that tells least.
func (g *Grid) giveWay() {
	least := 0
	for j, h := range g.heads {
		if h.Rank > g.heads[least].Rank {
			least = j
		}
	}
	g.heads = slices.Delete(g.heads, least, least+1)
	g.widths = slices.Delete(g.widths, least, least+1)
	for i := range g.rows {
		g.rows[i] = slices.Delete(g.rows[i], least, least+1)
	}
}

// Has reports whether a column is still there.
func (g *Grid) Has(name string) bool {
	return slices.ContainsFunc(g.heads, func(h Head) bool { return h.Name == name })
}

// line lays cells out.
func (g *Grid) line(cells []string) string {
	var b strings.Builder
	for j, text := range cells {
		pad := strings.Repeat(" ", max(g.widths[j]-ansi.StringWidth(text), 0))
		if j > 0 {
			b.WriteString(strings.Repeat(" ", gap))
		}
		if g.heads[j].Right {
			b.WriteString(pad + text)
		} else {
			b.WriteString(text + pad)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// Head is the first line.
func (g *Grid) Head() string {
	var cells []string
	for _, h := range g.heads {
		cells = append(cells, strings.ToUpper(h.Name))
	}
	return g.line(cells)
}

// Lines are those below the head.
func (g *Grid) Lines() (lines []string) {
	for _, row := range g.rows {
		lines = append(lines, g.line(row))
	}
	return lines
}

// Print prints all of it.
func (g *Grid) Print(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, line := range append([]string{g.Head()}, g.Lines()...) {
		out.WriteString(line)
		out.WriteByte('\n')
	}
	return out.Flush()
}
