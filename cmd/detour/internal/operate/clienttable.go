package operate

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/relay"
)

// mostCell bounds what is shown of a text of others.
const mostCell = 40

// A clientTable is a page in columns.
type clientTable struct {
	columns []clientColumn
	rows    [][]string // all columns of each
	widths  []int
}

// newClientTable fits a page into so many columns of a terminal; width 0: all of it, whole.
func newClientTable(page []relay.PeerState, columns []clientColumn, now time.Time, width int) *clientTable {
	t := &clientTable{columns: slices.Clone(columns)}
	for i := range page {
		row := make([]string, len(columns))
		for j, c := range columns {
			most := mostCell
			if c.name == keyColumn {
				most = keyLength
			}
			row[j] = cli.Filled(cli.Clean(c.cell(&page[i], now), most))
		}
		t.rows = append(t.rows, row)
	}
	t.measure()
	if at := slices.IndexFunc(columns, func(c clientColumn) bool { return c.name == keyColumn }); width > 0 && t.width() > width && at >= 0 {
		for i := range page {
			t.rows[i][at] = shortKey(&page[i])
		}
		t.measure()
	}
	for width > 0 && t.width() > width && len(t.columns) > 1 {
		t.giveWay()
	}
	return t
}

const keyLength = len("nodekey:") + 64

func (t *clientTable) measure() {
	t.widths = make([]int, len(t.columns))
	for j, c := range t.columns {
		t.widths[j] = len(c.name)
		for _, row := range t.rows {
			t.widths[j] = max(t.widths[j], ansi.StringWidth(row[j]))
		}
	}
}

// gap is between two columns.
const gap = 2

func (t *clientTable) width() int {
	total := gap * (len(t.widths) - 1)
	for _, w := range t.widths {
		total += w
	}
	return total
}

// giveWay takes out the column that tells least.
func (t *clientTable) giveWay() {
	least := 0
	for j, c := range t.columns {
		if c.rank > t.columns[least].rank {
			least = j
		}
	}
	t.columns = slices.Delete(t.columns, least, least+1)
	t.widths = slices.Delete(t.widths, least, least+1)
	for i := range t.rows {
		t.rows[i] = slices.Delete(t.rows[i], least, least+1)
	}
}

// heads are the first line.
func (t *clientTable) heads() (cells []string) {
	for _, c := range t.columns {
		cells = append(cells, strings.ToUpper(c.name))
	}
	return cells
}

// line lays cells out.
func (t *clientTable) line(cells []string) string {
	var b strings.Builder
	for j, text := range cells {
		pad := strings.Repeat(" ", max(t.widths[j]-ansi.StringWidth(text), 0))
		if j > 0 {
			b.WriteString(strings.Repeat(" ", gap))
		}
		if t.columns[j].right {
			b.WriteString(pad + text)
		} else {
			b.WriteString(text + pad)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

func (t *clientTable) print(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, cells := range append([][]string{t.heads()}, t.rows...) {
		out.WriteString(t.line(cells))
		out.WriteByte('\n')
	}
	return out.Flush()
}

// columnsOf are those that a relay knows.
func columnsOf(derper bool) []clientColumn {
	if !derper {
		return clientColumns
	}
	return slices.DeleteFunc(slices.Clone(clientColumns), func(c clientColumn) bool {
		return c.by != "" && !clients.DerperShows(c.by)
	})
}

// printCSV prints all columns of a page with their names first.
func printCSV(w io.Writer, page []relay.PeerState, columns []clientColumn) error {
	out := csv.NewWriter(w)
	row := make([]string, len(columns))
	for j, c := range columns {
		row[j] = c.name
	}
	out.Write(row)
	for i := range page {
		for j, c := range columns {
			if row[j] = ""; c.csv != nil {
				row[j] = c.csv(&page[i])
			} else {
				row[j] = plainCell(c.cell(&page[i], time.Time{}))
			}
		}
		out.Write(row)
	}
	out.Flush()
	return out.Error()
}

// mostCSV bounds a cell of others; none of ours is longer.
const mostCSV = 1000

// plainCell is a text of others that no spreadsheet takes for a formula, and no terminal
// for orders. Formulas begin with one of a few characters, in their wide forms, too.
func plainCell(text string) string {
	text = cli.Clean(text, mostCSV)
	if strings.ContainsAny(cmp.Or(text, " ")[:1], "=+-@|%") || strings.HasPrefix(text, "＝") || strings.HasPrefix(text, "＋") || strings.HasPrefix(text, "－") || strings.HasPrefix(text, "＠") {
		return "'" + text
	}
	return text
}
