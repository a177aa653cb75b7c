package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// Connect to a relay and answer every packet.
func Example() {
	conn, err := client.Dial(context.Background(), client.Config{
		URL:       "https://relay.example.com/derp",
		Key:       key.NewPrivate(),
		Preferred: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	buf := make([]byte, derp.MaxPacket)
	for {
		msg, err := conn.Recv(buf)
		if err != nil {
			log.Fatal(err)
		}
		switch msg.Kind {
		case client.MessageServerInfo:
			fmt.Println("admitted by", conn.ServerKey())
		case client.MessagePacket:
			if err := conn.Send(msg.Peer, msg.Packet); err != nil {
				log.Fatal(err)
			}
		case client.MessageHealth:
			fmt.Println("the relay reports:", msg.Health)
		}
	}
}
