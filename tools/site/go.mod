// The site that "make site" makes of the pages: not in the product's module, so that
// nobody who builds a relay has a renderer of Markdown.
module github.com/detour-relay/detour/tools/site

go 1.26.0

require (
	github.com/alecthomas/chroma/v2 v2.27.0
	github.com/detour-relay/detour v0.0.0
	github.com/yuin/goldmark v1.8.7
	golang.org/x/net v0.60.0
)

require github.com/dlclark/regexp2/v2 v2.2.1 // indirect

replace github.com/detour-relay/detour => ../..
