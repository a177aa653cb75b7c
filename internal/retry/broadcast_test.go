package retry

import "testing"

func TestBroadcastWakesThoseWhoWait(t *testing.T) {
	var b Broadcast
	b.Send() // to nobody
	first, same := b.Wait(), b.Wait()
	select {
	case <-first:
		t.Error("it was sent before the wait")
	default:
	}
	b.Send()
	<-first
	<-same
	select {
	case <-b.Wait():
		t.Error("it wakes who comes later")
	default:
	}
}
