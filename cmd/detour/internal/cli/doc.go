// Package cli has what the commands share with each other: exit statuses, logging, progress, text for
// terminals, JSON, the flags that say which relay is meant and how to trust it, and files that are written
// as a whole or not at all. It knows no command.
package cli
