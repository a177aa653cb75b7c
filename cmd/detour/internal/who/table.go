package who

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// mostCell bounds what is shown of a text of others.
const mostCell = 40

// A Table is connections in columns.
type Table struct {
	Columns []Column
	rows    [][]string // the cells of each
	widths  []int
}

// New fits a page into so many columns of a terminal; width 0: all of it, whole.
func New(page []Row, columns []Column, now time.Time, width int) *Table {
	t := &Table{Columns: slices.Clone(columns)}
	for i := range page {
		row := make([]string, len(columns))
		for j, c := range columns {
			most := mostCell
			if c.Name == Key {
				most = keyLength
			}
			row[j] = cli.Filled(cli.Clean(c.Cell(&page[i], now), most))
		}
		t.rows = append(t.rows, row)
	}
	t.measure()
	if at := slices.IndexFunc(columns, func(c Column) bool { return c.Name == Key }); width > 0 && t.width() > width && at >= 0 {
		for i := range page {
			t.rows[i][at] = ShortKey(&page[i])
		}
		t.measure()
	}
	for width > 0 && t.width() > width && len(t.Columns) > 1 {
		t.giveWay()
	}
	return t
}

const keyLength = len("nodekey:") + 64

func (t *Table) measure() {
	t.widths = make([]int, len(t.Columns))
	for j, c := range t.Columns {
		t.widths[j] = len(c.Name)
		for _, row := range t.rows {
			t.widths[j] = max(t.widths[j], ansi.StringWidth(row[j]))
		}
	}
}

// gap is between two columns.
const gap = 2

func (t *Table) width() int {
	total := gap * (len(t.widths) - 1)
	for _, w := range t.widths {
		total += w
	}
	return total
}

// giveWay takes out the column that tells least.
func (t *Table) giveWay() {
	least := 0
	for j, c := range t.Columns {
		if c.Rank > t.Columns[least].Rank {
			least = j
		}
	}
	t.Columns = slices.Delete(t.Columns, least, least+1)
	t.widths = slices.Delete(t.widths, least, least+1)
	for i := range t.rows {
		t.rows[i] = slices.Delete(t.rows[i], least, least+1)
	}
}

// line lays cells out.
func (t *Table) line(cells []string) string {
	var b strings.Builder
	for j, text := range cells {
		pad := strings.Repeat(" ", max(t.widths[j]-ansi.StringWidth(text), 0))
		if j > 0 {
			b.WriteString(strings.Repeat(" ", gap))
		}
		if t.Columns[j].Right {
			b.WriteString(pad + text)
		} else {
			b.WriteString(text + pad)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// Head is the first line.
func (t *Table) Head() string {
	var cells []string
	for _, c := range t.Columns {
		cells = append(cells, strings.ToUpper(c.Name))
	}
	return t.line(cells)
}

// Lines are those below the head, one of each connection.
func (t *Table) Lines() (lines []string) {
	for _, row := range t.rows {
		lines = append(lines, t.line(row))
	}
	return lines
}

// Print prints all of it.
func (t *Table) Print(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, line := range append([]string{t.Head()}, t.Lines()...) {
		out.WriteString(line)
		out.WriteByte('\n')
	}
	return out.Flush()
}
