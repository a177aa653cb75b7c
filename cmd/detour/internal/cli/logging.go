package cli

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// NewLogger builds the structured logger of a long-running command. Format auto means text for a person at a
// terminal and JSON for everything else.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, Usagef("--log-level %q: choose debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: least}
	if format == "auto" {
		format = "json"
		if IsTerminal(w) {
			format = "text"
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, Usagef("--log-format %q: choose auto, text or json", format)
}

// IsTerminal reports whether a person may be watching.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
