// Package tailnet makes a peer a member of a tailnet: the coordination server tells it who
// the others are, which region each of them is in, and where the relays are, and it tells
// the coordination server where it is itself.
//
//	member, err := tailnet.Open(ctx, tailnet.Config{StateFile: "member.json", Invite: invite})
//	host, err := member.Host(client.HostConfig{})
//	_, err = host.AwaitHome(ctx)               // until others can reach it
//	anna, err := member.AwaitPeer(ctx, "anna") // until it is known where she is
//	err = host.Send(anna.Key, packet)
//
// # Words
//
//   - tailnet: a set of peers under one coordination server.
//   - member: a peer of a tailnet, by its node key.
//   - coordinator: one process of the coordination server; any of several answers.
//   - invite: the right to become a member. It says where the coordinators are and how to
//     know them.
//   - view: what a member knows of its tailnet: peers, their homes, the map.
//
// # What happens when
//
// Open joins if there is no state file yet, and otherwise asks nobody: the view of the
// state file counts until a coordinator tells another one. In the background the member
// then keeps to one coordinator. It proves its key, asks for what has changed since its
// view, and is told of further changes as they come. Only a view that was told to its end
// says who is gone, and a peer whose home is not told keeps the one that is known.
//
// Whoever says nothing for 60 s, ends the stream or asks for it is left for the next of
// the list, within a second. When none of the list answers, all are asked again after a
// pause: a random part of 1 s at first, then of 30 s, doubled up to 5 min; a stream that
// has told all begins anew with the pauses, a mere connection does not. Meanwhile packets
// flow as before: a Host needs relays, not coordinators.
//
// The home of the Host is reported when it changes and after each connect. Reports are
// numbered by how often the state file was opened and one after the other; a member whose
// state file is an old copy takes over the higher number of the coordinators, once. If
// another machine has the same key, both are told (HasRival): the state file was copied.
//
// A machine that has slept has its coordinator connected anew within 10 s, as after
// NetworkChanged.
//
// A member that was removed is told so (WasRemoved), and asks again every 5 min: it may
// have been a mistake. With an invite for the same tailnet in Config it joins again.
//
// # The state file
//
// It holds the private key, unless Config.Key was given, so only its owner may read it.
// Each write puts a whole file in place of the one before. What was told is there 5 s
// later, and 1 s more for each 1,000 peers; the cursor alone 5 min later, and all of it
// after Close. A file that is damaged, or of a newer version, is an error of Open and
// stays as it is. A lock, on the file of the same name with ".lock", keeps a second
// process out, except on Solaris, illumos and AIX.
//
// # Limits
//
// A coordinator is believed only within bounds: 50,000 peers, lines of 8 MiB, names that
// are labels of DNS, addresses that hosts have. A map that cannot be read, or is empty,
// leaves the one before. http:// is for this machine only; https:// is verified by the pin
// of the invite, or else by the system's authorities, through the proxy of the environment
// if there is one.
package tailnet
