// Package reach gets to a relay: it is beneath everybody who dials one.
//
// # The way
//
//  1. [New] reads a [Config]: the URL, the pin, the way there. [Config.AtNode]
//     makes one of a node of a DERP map, with its addresses (node.go).
//  2. [Target.DialTCP] connects, to the HTTP proxy if there is one (proxy.go), and
//     races the families of a node's addresses (race.go).
//  3. [Target.ThroughProxy] has the proxy connect us.
//  4. [Target.TLSConfig] says whom to trust (tls.go).
//  5. [Target.Upgrade] asks the relay to take the connection over and reads what it
//     says (answer.go); or else [Target.DialWebSocket]. Other requests are made with
//     [Exchange].
//
// Each step fails within its context, see [During], and says whose fault it is: what
// goes wrong on the way to the proxy is a [ProxyError], an answer of HTTP that let
// us not through is a [StatusError].
package reach
