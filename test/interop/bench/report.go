package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// report is the outcome of the whole benchmark. Its JSON form is stable: fields are added, never renamed.
type report struct {
	Date    time.Time `json:"date"`
	Took    float64   `json:"took_s"`
	Rounds  int       `json:"rounds"`
	Seconds int       `json:"seconds_per_measurement"`
	Machine machine   `json:"machine"`
	Rows    []line    `json:"rows"`
	Results *results  `json:"results"`
}

// line is one row with its figures.
type line struct {
	Name   string   `json:"name"`
	Text   string   `json:"text"`
	Must   string   `json:"must"`
	Unit   string   `json:"unit,omitempty"`
	Ours   *float64 `json:"detour,omitempty"`
	Derper *float64 `json:"derper,omitempty"`
	Ratio  *float64 `json:"ratio,omitempty"` // ours to derper's
	Status status   `json:"status"`
	Note   string   `json:"note,omitempty"`
}

// status says whether a row reached its mark.
type status string

const (
	statusOK          status = "ok"
	statusMissed      status = "missed"
	statusInfo        status = "-"
	statusNotMeasured status = "not measured"
)

func newReport(o options, m machine, rows []row, r *results, began time.Time) *report {
	rep := &report{
		Date: began.UTC().Truncate(time.Second), Took: math.Round(time.Since(began).Seconds()),
		Rounds: o.rounds, Seconds: o.seconds, Machine: m, Results: r,
	}
	for _, row := range rows {
		rep.Rows = append(rep.Rows, row.line(r))
	}
	return rep
}

// line computes the row's figures and compares them with its mark.
func (row row) line(r *results) line {
	l := line{Name: row.name, Text: row.text, Must: row.mark.text(row.unit), Unit: row.unit, Status: statusNotMeasured}
	l.Ours, l.Derper = row.figures(r)
	if l.Ours != nil && l.Derper != nil && *l.Derper != 0 && !row.apart {
		ratio := *l.Ours / *l.Derper
		l.Ratio = &ratio
	}
	figure := l.Ours
	if row.mark.ratio {
		figure = l.Ratio
	}
	switch {
	case figure == nil:
		l.Note = r.whyMissing(row.needs)
	case row.mark.none:
		l.Status = statusInfo
	case row.mark.reached(*figure):
		l.Status = statusOK
	default:
		l.Status = statusMissed
	}
	return l
}

// whyMissing says why a row that needs these measurements has no figures.
func (r *results) whyMissing(needs []string) string {
	for _, name := range needs {
		if err := r.Missing[name]; err != nil {
			return err.Error()
		}
	}
	return "no such figure"
}

// reached says whether every row reached its mark; one that could not be measured has not.
func (r *report) reached() bool {
	for _, l := range r.Rows {
		if l.Status == statusMissed || l.Status == statusNotMeasured {
			return false
		}
	}
	return true
}

// writeJSON puts the report into a new file of the directory.
func (r *report) writeJSON(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, r.Date.Format("2006-01-02T150405Z")+".json")
	if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil {
		return err
	}
	talk("%s\n", name)
	return nil
}

// figure writes a number with about three digits that mean something.
func figure(v *float64, unit string) string {
	if v == nil {
		return ""
	}
	text := fmt.Sprintf("%.2f", *v)
	switch size := math.Abs(*v); {
	case *v == 0:
		text = "0"
	case size >= 100:
		text = fmt.Sprintf("%.0f", *v)
	case size >= 10:
		text = fmt.Sprintf("%.1f", *v)
	case size < 0.1:
		text = fmt.Sprintf("%.2g", *v)
	}
	if unit != "" {
		text += " " + unit
	}
	return text
}
