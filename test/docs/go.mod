// Runs the commands of the pages, in namespaces, which takes root: not in the product's
// module, whose tests run anywhere.
module github.com/detour-relay/detour/test/docs

go 1.26.0

require github.com/detour-relay/detour v0.0.0

replace github.com/detour-relay/detour => ../..
