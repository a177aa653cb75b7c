package derpmap

import "fmt"

// Severity says how bad a finding is.
type Severity string

const (
	Error   Severity = "error"   // clients refuse the map, or do something else than its author meant
	Warning Severity = "warning" // it works, but probably not as its author meant, or not for every client
)

// Finding is something wrong with the text of a map, and what to do about it.
type Finding struct {
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`           // which rule; stays the same from release to release
	Line     int      `json:"line"`           // from 1
	Column   int      `json:"column"`         // from 1, in characters
	Path     string   `json:"path,omitempty"` // such as Regions.900.Nodes[0].HostName
	Message  string   `json:"message"`        // what is wrong
	Remedy   string   `json:"remedy,omitempty"`
}

// Error is the finding in one line.
func (f Finding) Error() string {
	line := fmt.Sprintf("%d:%d: %s: ", f.Line, f.Column, f.Severity)
	if f.Path != "" {
		line += f.Path + ": "
	}
	line += f.Message
	if f.Remedy != "" {
		line += "; " + f.Remedy
	}
	return line + " [" + f.Code + "]"
}

// Errors returns the findings with which clients refuse a map, or do something else
// than it seems to say.
func Errors(findings []Finding) (errs []Finding) {
	for _, f := range findings {
		if f.Severity == Error {
			errs = append(errs, f)
		}
	}
	return errs
}
