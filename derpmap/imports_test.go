package derpmap

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever only reads maps should find no HTTP in the files that do so.
func TestOnlyFetchKnowsHTTP(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file == "fetch.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range parsed.Imports {
			if imported.Path.Value == `"net/http"` {
				t.Errorf("%s imports net/http", file)
			}
		}
	}
}
