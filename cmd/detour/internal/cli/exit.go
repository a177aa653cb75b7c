package cli

import (
	"errors"
	"fmt"

	"github.com/detour-relay/detour/internal/text"
)

// Exit statuses. Scripts branch on them, so they never change meaning.
const (
	ExitFine       = 0
	ExitBad        = 1 // checked and bad, or the work failed
	ExitUsage      = 2 // the command line cannot be understood
	ExitUnanswered = 3 // the check itself could not be done
)

// exitError is an error that says with which status the program ends. An error without one ends it with
// ExitBad.
type exitError struct {
	status int
	err    error
	helped bool // the help has no more to say
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// Usagef reports a command line that cannot be understood.
func Usagef(format string, args ...any) error {
	return &exitError{status: ExitUsage, err: fmt.Errorf(format, args...)}
}

// Misconfigured is Usagef for what stands in a file or in the environment, of which the help of a command says
// nothing.
func Misconfigured(err error) error { return &exitError{status: ExitUsage, err: err, helped: true} }

// NeedsHelp reports whether the help of the command says more about an error.
func NeedsHelp(err error) bool {
	e, ok := errors.AsType[*exitError](err)
	return ok && e.status == ExitUsage && !e.helped
}

// A Choice is an error with ways out of it, which are shown on a line each.
type Choice struct {
	Err  error
	Ways []string
}

func (e *Choice) Error() string { return e.Err.Error() }
func (e *Choice) Unwrap() error { return e.Err }

// Refused is Usagef for a command line that the library does not take. Its texts repeat what was written, also
// passwords.
func Refused(err error) error { return &exitError{status: ExitUsage, err: redacted{err}} }

type redacted struct{ error }

func (e redacted) Error() string { return text.RedactURLs(e.error.Error()) }
func (e redacted) Unwrap() error { return e.error }

// Unansweredf reports that a check could not be done, so that nothing is known about what was to be
// checked.
func Unansweredf(format string, args ...any) error {
	return &exitError{status: ExitUnanswered, err: fmt.Errorf(format, args...)}
}

// SaidBad ends the program with ExitBad where standard output has said all there is to say: nothing more is
// printed.
func SaidBad() error { return &exitError{status: ExitBad, err: errors.New("")} }

// ExitStatus tells the status for the error a command returned.
func ExitStatus(err error) int {
	if err == nil {
		return ExitFine
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.status
	}
	return ExitBad
}
