package cli

import (
	"encoding/json"
	"io"
)

// WriteJSON writes a value in one line. Characters that only HTML minds stay as they are: the JSON is for
// programs and for people at a terminal.
func WriteJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
