// Package derpmap holds DERP maps: which regions a network has, which relays (nodes)
// make up each of them, and how clients reach them.
//
// [Load] reads a map from JSON, from HuJSON (also the derpMap member of a Tailscale
// policy file) or from YAML as Headscale has it, and [Map.Encode] writes each of the
// three. Fields that this package does not know survive: they are in the Extra of
// their level.
//
// [Lint] looks for what is wrong with the text of a map, and says where and what to
// do. It speaks for who reads the form: Tailscale for JSON and HuJSON, Headscale for
// YAML. What is no map at all it names for what it is.
//
// [Merge] lays maps over each other as control servers do, [Update] as clients do,
// [Diff] says what changed, and a [Fetcher] gets a map from a URL and watches it.
//
// [Order] and [Map.ForTailnet] order the nodes of a region for one tailnet, so that
// the tailnets of a node that fails spread evenly over the nodes left;
// docs/node-order.md has the figures and what others need to compute the same order.
//
// Load, and whatever calls it, takes at most [MaxSize] bytes, 65,536 values and 32
// levels of nesting, and never panics. A Map is plain data: any number of goroutines
// may read it while none writes.
package derpmap
