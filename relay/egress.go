package relay

import "github.com/detour-relay/detour/internal/ledger"

// Egress writes what outboxes hold.
//
//  1. The reader that filled an outbox calls flush at the end of its burst, or of those
//     of others, too. The first to come holds the write side; others only push and
//     leave, because the holder looks again before it lets go.
//  2. The holder takes a batch, stages it and flushes without waiting.
//  3. If the stream is full, a writer of its own is started. It waits for the
//     stream, empties the outbox and ends. Until then readers only push, and the
//     outbox drops by its rule.

// maxRounds is how many batches a reader writes for others' packets before it
// passes the write side on, so that it gets back to reading.
const maxRounds = 4

// flush writes the outbox, unless somebody is at it already. What it has sent is counted
// on the caller's page. If several sources fill it, it is written at the end of the round
// of bursts, so that their packets share a record and a write; round nil: there is none.
func (o *outbox) flush(round sharedStream, page *ledger.Page) {
	o.mu.Lock()
	if o.writing || o.closed || o.due && round != nil {
		o.mu.Unlock()
		return
	}
	later := round != nil && o.box.Several()
	o.due, o.writing = o.due || later, !later
	o.mu.Unlock()
	if later {
		round.AfterRound(o)
		return
	}
	o.write(page)
}

// RoundEnded is called by who reads, who has this number.
func (o *outbox) RoundEnded(reader int) {
	o.mu.Lock()
	o.due = false
	o.mu.Unlock()
	o.flush(nil, o.owner.server.count.book.Page(uint64(reader)))
}

// write empties the outbox as far as the stream takes it at once. The caller
// holds the write side, and has passed it on when write returns.
func (o *outbox) write(page *ledger.Page) {
	for range maxRounds {
		more, done, err := o.writeBatch(page, false)
		switch {
		case err != nil:
			return
		case !done:
			o.startWriter(true)
			return
		case !more:
			return
		}
	}
	o.startWriter(false)
}

// writeBatch takes one batch and hands it to the stream. more is false if there
// was none, and then the write side is released. done is false if the stream is
// full. After an error there is nothing to be done any more.
func (o *outbox) writeBatch(page *ledger.Page, wait bool) (more, done bool, err error) {
	var b batch
	o.mu.Lock()
	if o.box.Empty() || !o.takeLocked(&b, o.owner.server.now()) { // to ask for the time costs more than to look
		o.writing = false
		o.blockedAt.Store(0)
		o.box.CatchUp(o.stock())
		last := o.closed
		o.mu.Unlock()
		if last {
			o.conn.report()
		}
		return false, true, nil
	}
	o.inHand.Store(int64(b.Packets[ledger.Disco] + b.Packets[ledger.Data]))
	o.mu.Unlock()
	done, err = o.send(&b, wait)
	if err == nil {
		o.sent(page, &b)
	} else {
		o.giveUp(&b, err)
	}
	b.Release()
	return true, done, err
}

// sent counts a batch that the stream has taken.
func (o *outbox) sent(page *ledger.Page, b *batch) {
	page.Sent(b, o.box.Wide)
	if b.Controls > 0 && o.conn != nil && o.conn.sibling {
		page.News(b.ControlFrames())
	}
	o.inHand.Store(0)
}

// giveUp ends the conn because its stream has failed, with b in hand. The write side
// stays taken, so that nobody tries again.
func (o *outbox) giveUp(b *batch, err error) {
	o.page.Failed(b)
	o.mu.Lock()
	o.account.Fail(b)
	o.broken = true
	o.box.CatchUp(o.stock())
	o.inHand.Store(0)
	last := o.closed
	o.mu.Unlock()
	o.owner.close(err)
	if last {
		o.conn.report()
	}
}

func (o *outbox) send(b *batch, wait bool) (done bool, err error) {
	// The goroutine here is that which reads a sender, or several of them, and it writes
	// to the receiver's stream: no goroutine is woken on a packet's way.
	stream := o.owner.stream
	for _, s := range b.Segments[:b.N] {
		if _, err := stream.Write(s.Contents()); err != nil {
			return false, asWriteError(err)
		}
	}
	done, err = stream.Flush(wait)
	return done, asWriteError(err)
}

// startWriter passes the write side to a goroutine that may wait, for a stream that is
// full or because there is much.
func (o *outbox) startWriter(full bool) {
	s := o.owner.server
	o.blockedAt.Store(s.now())
	o.mu.Lock()
	o.box.FallBehind(o.stock(), full)
	o.mu.Unlock()
	s.sweeper.watch(o)
	s.running.Add(1)
	go o.writer()
}

// writeWhenReady waits for the stream, empties the outbox and releases the write
// side.
func (o *outbox) writeWhenReady() {
	s := o.owner.server
	defer s.running.Done()
	for more, done := true, false; more; {
		var err error
		if done {
			more, done, err = o.writeBatch(o.page, true)
		} else {
			if done, err = o.owner.stream.Flush(true); err != nil {
				o.giveUp(new(batch), asWriteError(err))
			}
		}
		if err != nil {
			return
		}
		if more {
			o.blockedAt.Store(s.now())
		}
	}
}
