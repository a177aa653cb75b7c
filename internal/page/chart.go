package page

import (
	"math"
	"strconv"
)

// A Chart shows how figures went, as the template "chart" draws it.
type Chart struct {
	Title       string
	Top, Middle string // what the upper edge and the line below stand for
	From, To    string // the moments at both ends
	Summary     string // the same in words
	Lines       []Line
}

// A Line is one row of figures.
type Line struct {
	Name  string
	Class string // of the look: "first" or "second"
	Now   string // the last figure

	Path, Area string // of the drawing, 600 wide and 100 high; no Area: a line alone
}

// Figures are what a line is drawn from, in order, at equal distances; NaN: not known.
type Figures struct {
	Name   string
	Values []float64
	Filled bool
}

const (
	width  = 600
	height = 100
)

// Draw makes the lines of a chart, and its marks; say writes a figure.
func (c *Chart) Draw(say func(float64) string, rows ...Figures) {
	most := 0.0
	for _, row := range rows {
		for _, v := range row.Values {
			if v > most { // NaN is not
				most = v
			}
		}
	}
	top := roundUp(most)
	c.Top, c.Middle = say(top), say(top/2)
	classes := []string{"first", "second"}
	for i, row := range rows {
		line := Line{Name: row.Name, Class: classes[i%len(classes)], Now: "–"}
		line.Path, line.Area = trace(row.Values, top)
		if !row.Filled {
			line.Area = ""
		}
		if last := len(row.Values) - 1; last >= 0 && !math.IsNaN(row.Values[last]) {
			line.Now = say(row.Values[last])
		}
		c.Lines = append(c.Lines, line)
		if i > 0 {
			c.Summary += "; "
		}
		c.Summary += row.Name + " " + line.Now + " at the end"
	}
	c.Summary += "; " + say(most) + " at most"
}

// roundUp returns the next number that reads well: 1, 2 or 5 and zeros.
func roundUp(n float64) float64 {
	if n <= 0 || math.IsInf(n, 0) {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(n)))
	for _, times := range []float64{1, 2, 5} {
		if n <= times*unit {
			return times * unit
		}
	}
	return 10 * unit
}

// trace draws a row as a line and as the area below it. Where nothing is known there is
// a gap.
func trace(values []float64, top float64) (line, area string) {
	var path, below []byte
	step := float64(width) / float64(max(1, len(values)-1))
	number := func(to []byte, n float64) []byte { return strconv.AppendFloat(to, math.Round(10*n)/10, 'f', -1, 64) }
	began := -1
	end := func(i int) {
		if began >= 0 {
			below = append(number(append(below, 'L'), float64(i-1)*step), " 100Z"...)
			began = -1
		}
	}
	for i, v := range values {
		if math.IsNaN(v) {
			end(i)
			continue
		}
		x, y := float64(i)*step, height*(1-min(1, max(0, v)/top))
		op := byte('L')
		if began < 0 {
			began, op = i, 'M'
			below = append(number(append(below, 'M'), x), " 100"...)
		}
		path = number(append(number(append(path, op), x), ' '), y)
		below = number(append(number(append(below, 'L'), x), ' '), y)
	}
	end(len(values))
	return string(path), string(below)
}
