package signin

import "embed"

// Templates are what a [Door] shows, for its page.Set.
//
//go:embed *.html
var Templates embed.FS
