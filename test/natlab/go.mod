// A lab of network namespaces, which takes root: not in the product's module.
module github.com/detour-relay/detour/test/natlab

go 1.26.0

require golang.org/x/sys v0.50.0
