package who

import (
	"slices"
	"time"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// mostCell bounds what is shown of a text of others.
const mostCell = 40

// A Table is connections in columns.
type Table struct {
	*cli.Grid
	Columns []Column // that are in it
}

const keyLength = len("nodekey:") + 64

// New fits a page into so many columns of a terminal; width 0: all of it, whole. Where
// that is not enough, keys are shortened first.
func New(page []Row, columns []Column, now time.Time, width int) *Table {
	heads := make([]cli.Head, len(columns))
	for j, c := range columns {
		heads[j] = cli.Head{Name: c.Name, Right: c.Right, Rank: c.Rank}
	}
	rows := make([][]string, len(page))
	for i := range page {
		rows[i] = make([]string, len(columns))
		for j, c := range columns {
			most := mostCell
			if c.Name == Key {
				most = keyLength
			}
			rows[i][j] = cli.Filled(cli.Clean(c.Cell(&page[i], now), most))
		}
	}
	grid := cli.NewGrid(heads, rows)
	if at := slices.IndexFunc(columns, func(c Column) bool { return c.Name == Key }); width > 0 && grid.Width() > width && at >= 0 {
		for i := range page {
			rows[i][at] = ShortKey(&page[i])
		}
		grid = cli.NewGrid(heads, rows)
	}
	grid.Fit(width)
	return &Table{grid, slices.DeleteFunc(slices.Clone(columns), func(c Column) bool { return !grid.Has(c.Name) })}
}
