package reach

import (
	"context"
	"io"
	"time"
)

// During runs f, which uses conn, and has it fail when ctx ends: by a deadline in the
// past if conn has deadlines, otherwise by closing conn. In that case it returns the
// cause, and conn is of no use any more.
func During(ctx context.Context, conn io.Closer, f func() error) error {
	interrupt := func() { conn.Close() }
	if c, ok := conn.(interface{ SetDeadline(time.Time) error }); ok {
		interrupt = func() { c.SetDeadline(time.Unix(1, 0)) }
	}
	stop := context.AfterFunc(ctx, interrupt)
	err := f()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}
