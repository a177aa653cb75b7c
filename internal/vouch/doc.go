// Package vouch asks others whether a key may come into a relay: an admission URL, or
// a daemon of Tailscale on this machine.
//
// An answer is yes or no. All else is an error, which says what is wrong and what to
// do, in one line and without secrets: another status, a web page, a redirect, silence,
// a daemon that is not in its tailnet. Nothing is read without a bound, and nothing is
// waited for longer than the context allows.
package vouch

import "errors"

// ErrSlow is to be the cause of a context that ends because time is up.
var ErrSlow = errors.New("no answer in time")
