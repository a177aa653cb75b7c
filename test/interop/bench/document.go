package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// What is between these lines of the document belongs to the benchmark.
const (
	docBegin = "<!-- bench: written by make bench from here -->"
	docEnd   = "<!-- bench: to here -->"
)

// updateDoc replaces the document's table with this report's.
func (r *report) updateDoc(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	replaced, err := replaceBetween(string(text), r.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	talk("%s\n", path)
	return os.WriteFile(path, []byte(replaced), 0o644)
}

// checkDoc says whether the document is there and has a place for the table.
func checkDoc(o options) error {
	path := o.docPath()
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if _, err := replaceBetween(string(text), ""); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func replaceBetween(text, table string) (string, error) {
	before, rest, found := strings.Cut(text, docBegin)
	_, after, ended := strings.Cut(rest, docEnd)
	if !found || !ended {
		return "", errors.New("the lines that the table stands between are missing: " + docBegin + " and " + docEnd)
	}
	return before + docBegin + "\n" + table + docEnd + after, nil
}

// markdown is what stands in the document.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %s. Medians of %d rounds; %d s per measurement.\n\n",
		r.Date.Format("2006-01-02"), r.Machine, r.Rounds, r.Seconds)
	b.WriteString("| measure | must reach | Detour | derper | ratio | |\n|---|---|---|---|---|---|\n")
	for _, l := range r.Rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", l.Text, markdownText(l.Must),
			figure(l.Ours, l.Unit), figure(l.Derper, l.Unit), figure(l.Ratio, ""), l.Status)
	}
	if p := r.Results.Profile; p != nil {
		fmt.Fprintf(&b, "\n%s\n\n| elsewhere | share |\n|---|---|\n", p)
		for _, s := range p.Top {
			fmt.Fprintf(&b, "| `%s` | %.1f %% |\n", s.Function, s.Percent)
		}
	}
	b.WriteString("\n")
	return b.String()
}

func markdownText(s string) string {
	return strings.NewReplacer("<=", "≤", ">=", "≥", "<", "&lt;").Replace(s)
}
