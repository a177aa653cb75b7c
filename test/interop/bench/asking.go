package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"time"

	"tailscale.com/net/stun"
)

// asker is a STUN client with one socket that keeps a number of transactions open: whenever answers have come, it asks as many times
// again. It looks at every byte of an answer, of which it knows beforehand what they must be.
type asker struct {
	socket   *datagrams
	requests [][]byte
	answers  [][]byte // what came, for a moment
	numbers  []uint64 // of the open transactions; with its index in requests, a number is the ID
	all      []int    // indexes
	right    []byte   // the answer as it must be, but for the ID

	answered int // transactions
	lost     int // transactions given up
	progress time.Time
}

const (
	// Where the ID is in requests and answers alike: 4 bytes of index, 8 of number.
	idStart, idNumber, idEnd = 8, 12, 20

	fingerprintSize = 8          // the attribute at the end of a request
	fingerprintMask = 0x5354554e // RFC 5389, section 15.5

	answerPatience = 500 * time.Millisecond // after this without any answer, all open transactions are lost
)

// newAsker opens a socket for that many transactions at a time with the address.
func newAsker(addr netip.AddrPort, window int) (*asker, error) {
	a := &asker{numbers: make([]uint64, window)}
	for i := range window {
		a.requests = append(a.requests, stun.Request(stun.NewTxID()))
		a.answers = append(a.answers, make([]byte, 1500))
		a.numbers[i], a.all = uint64(rand.Uint32()), append(a.all, i)
	}
	var err error
	if a.socket, err = dialDatagrams(addr, a.answers, a.requests); err != nil {
		return nil, err
	}
	local, err := a.socket.local()
	if err != nil {
		a.socket.close()
		return nil, err
	}
	a.right = stun.Response(stun.TxID{}, local)
	return a, nil
}

// turn takes the answers that are there and asks again for each of them. If none came for long, or none can have come yet, it asks
// for all.
func (a *asker) turn(now time.Time) error {
	sizes, err := a.socket.receive()
	if err != nil {
		return err
	}
	var room [64]int
	ended := room[:0]
	for i, size := range sizes {
		index, err := a.check(a.answers[i][:size])
		if err != nil {
			return err
		}
		if index >= 0 {
			ended = append(ended, index)
			a.renew(index)
		}
	}
	a.answered += len(ended)
	switch {
	case len(ended) > 0:
		a.progress = now
		return a.socket.send(ended)
	case now.Sub(a.progress) > answerPatience:
		return a.askAll(now)
	}
	return nil
}

// askAll opens all transactions, in place of any that are open.
func (a *asker) askAll(now time.Time) error {
	if !a.progress.IsZero() {
		a.lost += len(a.all)
	}
	a.progress = now
	for _, index := range a.all {
		a.renew(index)
	}
	return a.socket.send(a.all)
}

// check returns the index of the transaction that an answer ends, and -1 if that has been given up.
func (a *asker) check(answer []byte) (int, error) {
	if len(answer) != len(a.right) {
		return 0, fmt.Errorf("an answer of %d bytes: %x", len(answer), answer)
	}
	id := answer[idStart:idEnd]
	index, number := binary.BigEndian.Uint32(id), binary.BigEndian.Uint64(answer[idNumber:])
	if index >= uint32(len(a.numbers)) || number > a.numbers[index] {
		return 0, fmt.Errorf("an answer to transaction %x, which nobody asked for", id)
	}
	copy(a.right[idStart:], id)
	if !bytes.Equal(answer, a.right) {
		return 0, fmt.Errorf("the answer %x should be %x", answer, a.right)
	}
	if number < a.numbers[index] {
		return -1, nil
	}
	return int(index), nil
}

// renew makes the request of the index that of a new transaction.
func (a *asker) renew(index int) {
	a.numbers[index]++
	request := a.requests[index]
	binary.BigEndian.PutUint32(request[idStart:], uint32(index))
	binary.BigEndian.PutUint64(request[idNumber:], a.numbers[index])
	signed := len(request) - fingerprintSize
	binary.BigEndian.PutUint32(request[signed+4:], crc32.ChecksumIEEE(request[:signed])^fingerprintMask)
}

// askers take turns, all in one goroutine, which never waits: it has a processor for itself, and the relay the others.
type askers []*asker

func newAskers(addr netip.AddrPort, count, window int) (all askers, err error) {
	for range count {
		a, err := newAsker(addr, window)
		if err != nil {
			all.close()
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// run asks for a while and returns how many answers came.
func (all askers) run(d time.Duration) (answered int, err error) {
	before, began := all.answered(), time.Now()
	for now := began; now.Sub(began) < d; now = time.Now() {
		for _, a := range all {
			if err := a.turn(now); err != nil {
				return 0, err
			}
		}
	}
	return all.answered() - before, nil
}

func (all askers) answered() (n int) {
	for _, a := range all {
		n += a.answered
	}
	return n
}

func (all askers) lost() (n int) {
	for _, a := range all {
		n += a.lost
	}
	return n
}

func (all askers) close() {
	for _, a := range all {
		a.socket.close()
	}
}
