package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

func TestTheEngineIsTriedInSmall(t *testing.T) {
	small := engineLoad{crowd: 12, remain: 3, settle: 10 * time.Millisecond, flood: 2, bother: 5, starved: 4,
		filling: 50 * time.Millisecond, warmup: 50 * time.Millisecond, during: 200 * time.Millisecond}
	want := map[string][]string{
		beingFlooded: {p50MS, p99MS, lostShare, broken}, beingBothered: {p50MS, p99MS, lostShare}, beingStarved: {p99MS, lostShare, residentMB},
		crowdLogin: {tookS, p99MS}, crowdMemory: {freshKB, usedKB, backShare},
	}
	s := newStage(t)
	for _, trial := range small.trials() {
		for _, kind := range []relayKind{ours, derper} {
			found, err := trial.measure(t.Context(), s, kind)
			if err != nil {
				t.Errorf("%s of %s: %v", trial.name, kind, err)
				continue
			}
			for _, name := range want[trial.name] {
				if _, there := found[name]; !there {
					t.Errorf("%s of %s tells no %s: %v", trial.name, kind, name, found)
				}
			}
			if found[broken] != 0 || found[endedConns] != 0 && trial.name != beingBothered {
				t.Errorf("%s of %s: %v", trial.name, kind, found)
			}
		}
	}
}

func TestRowsOfBothToolchains(t *testing.T) {
	r := fixture()
	r.Trials = trials{beingFlooded: {
		ours: {{lostShare: 3}, {lostShare: 1}, {lostShare: 2}}, sameGo: {{lostShare: 0.5}}, derper: {{lostShare: 90, broken: 2}},
	}}
	if l := lineOf(t, "flood-lost", r); *l.Ours != 2 || *l.Derper != 90 || l.Status != statusMissed || l.Ratio != nil {
		t.Errorf("%+v", l)
	}
	if l := lineOf(t, "flood-lost-same-go", r); *l.Ours != 0.5 || *l.Derper != 90 || l.Status != statusOK {
		t.Errorf("%+v", l)
	}
	if l := lineOf(t, "goodput-same-go", r); l.Ours != nil || l.Status != statusNotMeasured {
		t.Errorf("%+v", l)
	}
	if l := lineOf(t, "whole", r); *l.Ours != 0 || *l.Derper != 2 {
		t.Errorf("%+v", l)
	}
}

func TestTheEngineHasRows(t *testing.T) {
	all := allRows(options{before: "somewhere"})
	chosen, err := choose(all, "engine")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, r := range chosen {
		there[r.name] = true
	}
	for _, r := range append(engineRows(true), downloadSameGoRow()) {
		if !there[r.name] && !strings.HasPrefix(r.name, "rtt-250") {
			t.Errorf("%s is not among the rows of the engine", r.name)
		}
	}
}

func TestTheCrowdFitsTheDescriptors(t *testing.T) {
	for have, want := range map[uint64]int{1 << 20: wantedPeers, 21_000: 19_800, 20_000: 18_800, 1024: 512, 0: 0} {
		if got := crowdPeers(have); got != want {
			t.Errorf("%d descriptors: %d peers, want %d", have, got, want)
		}
	}
}

func TestTimedPacketsKeepTheirTurn(t *testing.T) {
	p := &timedPair{began: time.Now(), seen: map[key.Public]int64{}, from: &rawPeer{public: key.Public{1}}, first: 1}
	for _, one := range []struct {
		from   byte
		number uint64
		whole  bool
	}{{1, 0, true}, {1, 2, true}, {1, 1, true}, {1, 2, true}, {2, 7, true}, {2, 7, true}, {1, 3, false}, {1, 4, true}} {
		packet := binary.BigEndian.AppendUint64(nil, one.number)
		p.book(key.Public{one.from}, binary.BigEndian.AppendUint64(packet, 0), one.whole)
	}
	if len(p.tookMS) != 2 || p.late != 4 {
		t.Errorf("%d timed, %d late", len(p.tookMS), p.late)
	}
}

func TestMessagesCarryFrames(t *testing.T) {
	var wire []byte
	for _, content := range []string{"", "ab", strings.Repeat("c", 200), strings.Repeat("d", 70_000)} {
		wire = append(wire, 0x8a, 2, 'n', 'o') // about the connection
		switch n := len(content); {
		case n < 126:
			wire = append(wire, 0x82, byte(n))
		case n < 1<<16:
			wire = binary.BigEndian.AppendUint16(append(wire, 0x82, 126), uint16(n))
		default:
			wire = binary.BigEndian.AppendUint64(append(wire, 0x82, 127), uint64(n))
		}
		wire = append(wire, content...)
	}
	got, err := io.ReadAll(&messages{in: bufio.NewReader(bytes.NewReader(wire))})
	if want := "ab" + strings.Repeat("c", 200) + strings.Repeat("d", 70_000); err != nil || string(got) != want {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for n, head := range map[int]int{0: 6, 125: 6, 126: 8, 4000: 8} {
		frame := derp.AppendHeader(nil, unknownFrame, n)
		if got := inMessage(append(frame, make([]byte, n)...)[:n]); len(got) != head+n {
			t.Errorf("%d bytes become a message of %d", n, len(got))
		}
	}
}
