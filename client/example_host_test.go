package client_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

// One peer sends to another in the region that is the other's home.
func ExampleNode() {
	text, err := os.ReadFile("derpmap.json")
	if err != nil {
		log.Fatal(err)
	}
	derpMap, err := derpmap.Load(text, "")
	if err != nil {
		log.Fatal(err)
	}
	alice, bob := key.NewPrivate(), key.NewPrivate()
	a, err := client.NewHost(client.HostConfig{Key: alice, Map: derpMap})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	b, err := client.NewHost(client.HostConfig{Key: bob, Map: derpMap})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	home, err := b.AwaitHome(context.Background()) // from then on it can be reached
	if err != nil {
		log.Fatal(err)
	}
	a.SetPeerHome(bob.Public(), home.Region) // otherwise a coordination server tells
	if err := a.Send(bob.Public(), []byte("hello")); err != nil {
		log.Fatal(err)
	}
	buf := make([]byte, derp.MaxPacket)
	for {
		msg, err := b.Recv(buf)
		if err != nil {
			log.Fatal(err)
		}
		if msg.Kind == client.MessagePacket {
			fmt.Printf("%s in region %d\n", msg.Packet, msg.Region)
			return
		}
	}
}

// Follow a map that a coordination server publishes, and tell it the home.
func ExampleHost_coordination() {
	fetcher, err := derpmap.NewFetcher(derpmap.FetchConfig{URL: "https://coordination.example.com/derpmap.json"})
	if err != nil {
		log.Fatal(err)
	}
	host, err := client.NewHost(client.HostConfig{
		Key:      key.NewPrivate(),
		WatchMap: fetcher.Watch,
		ReportHome: func(ctx context.Context, home client.Home) error {
			return tellServer(ctx, home.Region, home.Report.DERPLatency()) // an error has it called again
		},
		OnState: func(s client.HostState) { fmt.Println("home", s.Home.Region, s.Home.Reason, "connected:", s.Connected) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	for peer, region := range homesOfPeers() { // as the server says
		host.SetPeerHome(peer, region)
	}
	// Send and Recv from here on.
}

func tellServer(context.Context, int, map[string]float64) error { return nil }

func homesOfPeers() map[key.Public]int { return nil }
