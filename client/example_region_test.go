package client_test

import (
	"fmt"
	"log"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// Stay connected to a region of two relays, whichever of them works, and answer
// every packet.
func ExampleRegion() {
	me := key.NewPrivate()
	region, err := client.NewRegion(client.RegionConfig{
		Nodes: []client.RelayConfig{
			{Name: "1a", Config: client.Config{URL: "https://a.relay.example.com", Key: me, Preferred: true}},
			{Name: "1b", Config: client.Config{URL: "https://b.relay.example.com", Key: me}},
		},
		OnState: func(s client.RegionState) {
			if s.Connected {
				fmt.Println("connected to", s.Name)
			} else {
				fmt.Println("not connected:", s.Err)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer region.Close()

	buf := make([]byte, derp.MaxPacket)
	for {
		msg, err := region.Recv(buf)
		if err != nil {
			log.Fatal(err) // only after Close
		}
		if msg.Kind == client.MessagePacket {
			region.Send(msg.Peer, msg.Packet) // best effort, as everything on the way
		}
	}
}
