// Package netwatch tells when this machine is connected to another network: it has other
// addresses, or another default route. What changes besides, such as the interfaces of
// containers without addresses, or the lifetime of an address, is no news.
//
// On Linux the kernel says when to look (netlink), elsewhere it is looked each 5 s.
package netwatch

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	lookEvery = 5 * time.Second

	// A change comes in pieces: an address goes, an interface, a route, and others come.
	// It is looked when nothing has come for quiet, or when pieces have come for mostWait.
	quiet    = 20 * time.Millisecond
	mostWait = 200 * time.Millisecond
)

// Watch calls changed when this machine is connected to another network, until ctx is
// done. Interfaces that except reports, by their names, do not count.
func Watch(ctx context.Context, except func(name string) bool, changed func()) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, ended := subscribe(ctx)
	defer func() { cancel(); <-ended }()
	watch(ctx, events, func() string { return connections(except) }, changed)
}

// watch looks when events say so, and each lookEvery.
func watch(ctx context.Context, events <-chan struct{}, look func() string, changed func()) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for last := look(); ; {
		select {
		case <-events:
			settle(ctx, events)
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now := look(); now != last && ctx.Err() == nil {
			last = now
			changed()
		}
	}
}

// settle waits until no more events come.
func settle(ctx context.Context, events <-chan struct{}) {
	end := time.NewTimer(mostWait)
	defer end.Stop()
	for {
		select {
		case <-events:
		case <-time.After(quiet):
			return
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// connections are the addresses of this machine by which others are reached, and what its
// default routes lead by.
func connections(except func(name string) bool) string {
	all, _ := net.Interfaces()
	var lines []string
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || except(i.Name) {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if prefix, ok := a.(*net.IPNet); ok && prefix.IP.IsGlobalUnicast() {
				lines = append(lines, i.Name+" "+prefix.String())
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(append(lines, defaultRoutes()...), "\n")
}
