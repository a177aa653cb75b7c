package main

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"tailscale.com/net/stun"

	"github.com/detour-relay/detour/test/interop/programs"
)

// farSTUN is STUN responders on loopback that take their time, as if they were far away.
type farSTUN struct {
	sockets []*net.UDPConn
	serving sync.WaitGroup
}

// startFarSTUN starts a responder for each of the latencies.
func startFarSTUN(latencies []time.Duration) (*farSTUN, error) {
	f := new(farSTUN)
	for _, latency := range latencies {
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(programs.Host)})
		if err != nil {
			f.stop()
			return nil, err
		}
		f.sockets = append(f.sockets, socket)
		f.serving.Go(func() { serveLate(socket, latency) })
	}
	return f, nil
}

// serveLate answers each request once the latency is over, until the socket is closed.
func serveLate(socket *net.UDPConn, latency time.Duration) {
	request := make([]byte, 1500)
	for {
		n, from, err := socket.ReadFromUDPAddrPort(request)
		if err != nil {
			return
		}
		id, err := stun.ParseBindingRequest(request[:n])
		if err != nil {
			continue
		}
		answer := stun.Response(id, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		time.AfterFunc(latency, func() { socket.WriteToUDPAddrPort(answer, from) }) // the asker may be gone
	}
}

// ports are those of the responders.
func (f *farSTUN) ports() (all []int) {
	for _, socket := range f.sockets {
		all = append(all, socket.LocalAddr().(*net.UDPAddr).Port)
	}
	return all
}

func (f *farSTUN) stop() {
	for _, socket := range f.sockets {
		socket.Close()
	}
	f.serving.Wait()
}
