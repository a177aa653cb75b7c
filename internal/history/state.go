package history

import "time"

// A State tells how the history is kept. Its JSON names are stable.
type State struct {
	File   string     `json:"file"`   // empty: in memory only
	Since  *time.Time `json:"since"`  // the oldest minute that is known; null: none yet
	Error  string     `json:"error"`  // why the file cannot be written now; empty: it can
	Errors uint64     `json:"errors"` // how often it could not be written or read
	Unread string     `json:"unread"` // what became of a file that could not be used; empty: there was none
}
