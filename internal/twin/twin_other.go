//go:build !unix

package twin

import "context"

// Follow does nothing.
func (*Link) Follow(context.Context) error { return nil }

func (*Link) next(context.Context) (undo func(), err error) { return func() {}, nil }
