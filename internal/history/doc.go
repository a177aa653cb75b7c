// Package history keeps what a relay did in each minute of the last week.
package history
