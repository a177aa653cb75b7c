package who

import (
	"cmp"
	"encoding/csv"
	"io"
	"strings"
	"time"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// WriteCSV writes all columns of a page with their names first.
func WriteCSV(w io.Writer, page []Row, columns []Column) error {
	out := csv.NewWriter(w)
	row := make([]string, len(columns))
	for j, c := range columns {
		row[j] = c.Name
	}
	out.Write(row)
	for i := range page {
		for j, c := range columns {
			if row[j] = ""; c.CSV != nil {
				row[j] = c.CSV(&page[i])
			} else {
				row[j] = plainCell(c.Cell(&page[i], time.Time{}))
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
