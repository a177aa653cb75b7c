// Tests that install what "make release" makes, which take root and Debian's tools: not in
// the product's module, whose tests run anywhere.
module github.com/detour-relay/detour/test/packages

go 1.26.0
