// Tests with network namespaces, which take root: not in the product's module, whose
// tests run anywhere.
module github.com/detour-relay/detour/test/laptops

go 1.26.0
