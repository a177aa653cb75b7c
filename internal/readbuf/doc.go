// Package readbuf has the buffers that clients read with. A program has many
// connections that are quiet and few that are busy: a [Buffer] holds no memory
// while a quiet source is waited for, and much while input fills it.
package readbuf
