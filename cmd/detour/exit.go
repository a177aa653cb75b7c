package main

import (
	"errors"
	"fmt"
)

// Exit statuses. Scripts branch on them, so they never change meaning.
const (
	exitFine       = 0
	exitBad        = 1 // checked and bad, or the work failed
	exitUsage      = 2 // the command line cannot be understood
	exitUnanswered = 3 // the check itself could not be done
)

// exitError is an error that says with which status the program ends. An error
// without one ends it with exitBad.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef reports a command line that cannot be understood.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// unansweredf reports that a check could not be done, so that nothing is known
// about what was to be checked.
func unansweredf(format string, args ...any) error {
	return &exitError{exitUnanswered, fmt.Errorf(format, args...)}
}

// saidBad ends the program with exitBad where standard output has said all there
// is to say: nothing more is printed.
func saidBad() error { return &exitError{exitBad, errors.New("")} }

// exitStatus tells the status for the error a command returned.
func exitStatus(err error) int {
	if err == nil {
		return exitFine
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.status
	}
	return exitBad
}
