// Command asked is whom the pages' commands ask, where that is no relay of ours: a small
// server over TLS with the answers that it is started with, or one that answers STUN as
// late as it is told.
//
//	asked CERT KEY ADDRESS PATH=FILE...
//	asked stun DELAY ADDRESS...
package main

import (
	"encoding/binary"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

func main() {
	switch {
	case len(os.Args) > 3 && os.Args[1] == "stun":
		delay, err := time.ParseDuration(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		for _, address := range os.Args[3:] {
			go answerLate(address, delay)
		}
		select {}
	case len(os.Args) > 3:
		for _, arg := range os.Args[4:] {
			path, file, _ := strings.Cut(arg, "=")
			http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
		}
		log.Fatal(http.ListenAndServeTLS(os.Args[3], os.Args[1], os.Args[2], nil))
	default:
		log.Fatal("usage: asked CERT KEY ADDRESS PATH=FILE... | asked stun DELAY ADDRESS...")
	}
}

// answerLate answers each STUN request at the address after the delay.
func answerLate(address string, delay time.Duration) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("answers at ", conn.LocalAddr())
	for {
		request := make([]byte, 1500)
		n, from, err := conn.ReadFrom(request)
		if err != nil {
			log.Fatal(err)
		}
		if n >= 20 {
			time.AfterFunc(delay, func() { conn.WriteTo(answer(request[:20], from.(*net.UDPAddr).AddrPort()), from) })
		}
	}
}

// answer says to whom has asked where he is: XOR-MAPPED-ADDRESS (RFC 5389).
func answer(header []byte, to netip.AddrPort) []byte {
	address, family := to.Addr().Unmap().AsSlice(), byte(1)
	if len(address) == 16 {
		family = 2
	}
	out := append([]byte{1, 1, 0, byte(8 + len(address))}, header[4:20]...)
	out = append(out, 0, 0x20, 0, byte(4+len(address)), 0, family)
	out = binary.BigEndian.AppendUint16(out, to.Port()^0x2112)
	for i, b := range address {
		out = append(out, b^header[4+i])
	}
	return out
}
