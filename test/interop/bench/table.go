package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// print writes the table for people at a terminal.
func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\n%s\n\n", r.Machine)
	fmt.Fprintln(w, "row\tmeasure\tmust reach\tdetour\tderper\tratio\t")
	for _, l := range r.Rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, l.Text, l.Must,
			figure(l.Ours, l.Unit), figure(l.Derper, l.Unit), figure(l.Ratio, ""), l.Status)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, l := range r.Rows {
		if l.Note != "" {
			fmt.Fprintf(out, "\n%s: %s\n", l.Name, l.Note)
		}
	}
	if p := r.Results.Profile; p != nil {
		fmt.Fprintf(out, "\n%s\n", p)
	}
	return nil
}

// String is the profile in one sentence.
func (p *profileShares) String() string {
	return fmt.Sprintf("Our relay's CPU at 2 Gbit/s: %.0f %% in system calls, %.0f %% in AES-GCM, %.0f %% in memory copies, %.0f %% elsewhere.",
		p.Syscalls, p.AESGCM, p.Copies, p.Else)
}
