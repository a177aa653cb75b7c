package netio

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// A readBuf against a plain slice of bytes, under random operations, also that of a
// guest who becomes a peer in between.
func TestReadBufAgainstSlice(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		var in readBuf
		if seed%2 == 1 {
			in.guest = NewMetered(nil, nil)
		}
		var model []byte
		next := byte(0)
		for range 500 {
			switch random.IntN(4) {
			case 0, 1:
				if in.guest != nil && random.IntN(200) == 0 {
					in.guest.Release()
				}
				room := in.room()
				burst, rest := BurstSize, restSize
				if in.guest != nil {
					burst, rest = guestBurst, guestChunk-guestBurst
				}
				if len(room) > burst || len(model) <= rest && len(room) != burst {
					t.Fatalf("room of %d bytes with a rest of %d", len(room), len(model))
				}
				n := random.IntN(len(room) + 1)
				for i := range n {
					room[i] = next
					next++
				}
				in.add(n)
				model = append(model, room[:n]...)
			case 2:
				model = deliverSome(t, random, &in, model)
			case 3:
				in.park()
				checkRest(t, &in, len(model))
			}
			if in.n != len(model) {
				t.Fatalf("%d bytes held, want %d", in.n, len(model))
			}
		}
		if !bytes.Equal(in.held(), model) {
			t.Fatal("other bytes are held")
		}
		keep := random.IntN(len(model) + 1)
		in.keepLast(keep)
		checkRest(t, &in, keep)
		if !bytes.Equal(in.held(), model[len(model)-keep:]) {
			t.Fatal("other bytes were kept")
		}
	}
}

var errPause = errors.New("pause")

func deliverSome(t *testing.T, random *rand.Rand, in *readBuf, model []byte) []byte {
	t.Helper()
	used, called := 0, false
	want := error(nil)
	if random.IntN(2) == 0 {
		want = errPause
	}
	err := in.deliver(func(burst []byte) (int, error) {
		called = true
		if !bytes.Equal(burst, model) {
			t.Fatalf("burst of %d bytes, want the %d held", len(burst), len(model))
		}
		used = random.IntN(len(burst) + 1)
		return used, want
	})
	if called != (len(model) > 0) || called && err != want || !called && err != nil {
		t.Fatalf("handler called: %v, with %d bytes; error %v", called, len(model), err)
	}
	return model[used:]
}

// checkRest wants a readBuf that waits to hold what it must, in the smallest
// buffer there is for it.
func checkRest(t *testing.T, in *readBuf, n int) {
	t.Helper()
	kept := 0
	if in.kept != nil {
		kept = len(in.kept.bytes)
	}
	if in.chunk != nil {
		kept += len(in.chunk.bytes)
	}
	if want := buffered(n); kept != want {
		t.Fatalf("while waiting with %d bytes: %d are kept, want %d", n, kept, want)
	}
}

// buffered is what a waiting conn may keep for a rest of n bytes.
func buffered(n int) int {
	switch {
	case n == 0:
		return 0
	case n <= 1<<10:
		return 1 << 10
	case n <= 4<<10:
		return 4 << 10
	case n <= 8<<10:
		return 8 << 10
	case n <= 16<<10:
		return 16 << 10
	case n <= 18<<10:
		return 18 << 10
	case n <= 32<<10:
		return 32 << 10
	case n <= 66<<10:
		return 66 << 10
	}
	return chunkSize // more than any frame
}

func TestPreload(t *testing.T) {
	sizes := []int{0, 1, BurstSize + 1, restSize + 1, chunkSize}
	for _, of := range parkPools {
		sizes = append(sizes, of.size-1, of.size, of.size+1)
	}
	for _, n := range sizes {
		p := bytes.Repeat([]byte{7}, n)
		var in readBuf
		in.preload(p)
		checkRest(t, &in, n)
		if !bytes.Equal(in.held(), p) {
			t.Errorf("of %d bytes, %d are held", n, in.n)
		}
	}
}
