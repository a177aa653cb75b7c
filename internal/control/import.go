package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

const (
	// MostImport bounds what is read of an import: a million keys with labels are some
	// 130 MB.
	MostImport = 512 << 20

	// MostEntries bounds the keys of an import.
	MostEntries = 2_000_000

	// MostTold bounds the keys that an answer to an import names each way; the others
	// are counted.
	MostTold = 1000

	// mostRow bounds one row of an import.
	mostRow = 4 << 10
)

// imports replaces a set of keys. One runs at a time.
func (h *Handler) imports(w http.ResponseWriter, r *http.Request) error {
	if h.config.Access == nil {
		return errNoAccess
	}
	order, err := importOrderOf(r)
	if err != nil {
		return err
	}
	if !h.importing.TryLock() {
		return refusef(http.StatusServiceUnavailable, "another import is under way: try again")
	}
	defer h.importing.Unlock()
	entries, err := readEntries(r.Body)
	if err != nil {
		io.Copy(io.Discard, io.LimitReader(r.Body, MostImport)) // or who is still sending does not hear why
		return err
	}
	done, err := h.config.Access.Import(order, entries)
	if err != nil {
		return err
	}
	done.Set, done.Keys, done.DryRun = order.Set, len(entries), order.DryRun
	done.CameTotal, done.WentTotal, done.ChangedTotal = len(done.Came), len(done.Went), len(done.Changed)
	if !order.DryRun {
		h.note(fromOf(r), "import", "set", order.Set, "came", done.CameTotal, "went", done.WentTotal, "changed", done.ChangedTotal)
	}
	done.Came, done.Went, done.Changed = first(done.Came), first(done.Went), first(done.Changed)
	return say(w, done)
}

func first(all []Came) []Came {
	if len(all) > MostTold {
		all = all[:MostTold]
	}
	return append([]Came{}, all...)
}

func importOrderOf(r *http.Request) (o ImportOrder, err error) {
	q := r.URL.Query()
	o.Set = q.Get("set")
	if err := CheckText(o.Set); err != nil {
		return o, refusef(http.StatusBadRequest, "the name of the set: %v", err)
	}
	for name, into := range map[string]*bool{"force": &o.Force, "dry_run": &o.DryRun} {
		if text := q.Get(name); text != "" {
			if *into, err = strconv.ParseBool(text); err != nil {
				return o, refusef(http.StatusBadRequest, "%s %.50q: want true or false", name, text)
			}
		}
	}
	return o, nil
}

// readEntries reads rows to their end. An import that breaks off is none.
func readEntries(body io.Reader) (entries []Entry, err error) {
	limited := &io.LimitedReader{R: body, N: MostImport}
	in := bufio.NewReaderSize(limited, mostRow)
	for n := 1; ; n++ {
		row, err := in.ReadSlice('\n')
		end := errors.Is(err, io.EOF)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, refusef(http.StatusBadRequest, "row %d is longer than %d bytes", n, mostRow)
		case err != nil && !end:
			return nil, refusef(http.StatusBadRequest, "the import broke off in row %d: %v", n, err)
		case end && limited.N <= 0:
			return nil, refusef(http.StatusRequestEntityTooLarge, "an import has %d bytes at most", MostImport)
		}
		if row = bytes.TrimSpace(row); len(row) > 0 {
			e, err := parseEntry(row)
			if err != nil {
				return nil, refusef(http.StatusBadRequest, "row %d: %v", n, err)
			}
			if len(entries) == MostEntries {
				return nil, refusef(http.StatusRequestEntityTooLarge, "an import has %d keys at most", MostEntries)
			}
			entries = append(entries, e)
		}
		if end {
			return entries, nil
		}
	}
}

func parseEntry(row []byte) (e Entry, err error) {
	if err := decodeStrictly(row, &e); err != nil {
		return e, err
	}
	if e.Key.IsZero() {
		return e, errors.New("it has no key")
	}
	if e.Until = e.Until.UTC(); e.Until.Year() < 1 || e.Until.Year() > 9999 {
		return e, errors.New("it ends outside the years 1 to 9999")
	}
	if err := CheckText(e.Label); err != nil {
		return e, fmt.Errorf("the label: %w", err)
	}
	if err := CheckText(e.Name); err != nil {
		return e, fmt.Errorf("the name: %w", err)
	}
	return e, nil
}

// writeEntries writes the rows that readEntries reads.
func writeEntries(w io.Writer, entries []Entry) error {
	out := bufio.NewWriterSize(w, 64<<10)
	to := json.NewEncoder(out)
	to.SetEscapeHTML(false)
	for _, e := range entries {
		if err := to.Encode(e); err != nil {
			return err
		}
	}
	return out.Flush()
}
