package main

import (
	"bytes"
	"html/template"
	"strings"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/formatters/html"
	"github.com/alecthomas/chroma/v2/lexers"
	"github.com/alecthomas/chroma/v2/styles"
	"github.com/detour-relay/detour/internal/pages"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// render makes HTML of Markdown. Links lead where target says, and images lie beside the
// page; it returns their names.
func render(source []byte, target func(to string) string) (template.HTML, []string, error) {
	md := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	md.Renderer().AddOptions(renderer.WithNodeRenderers(util.Prioritized(blocks{}, 1)))
	doc := md.Parser().Parse(text.NewReader(source), parser.WithContext(parser.NewContext(parser.WithIDs(new(ids)))))
	var images []string
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			n.Destination = []byte(target(string(n.Destination)))
		case *ast.Image:
			images = append(images, string(n.Destination))
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return "", nil, err
	}
	var out bytes.Buffer
	err = md.Renderer().Render(&out, source, doc)
	return template.HTML(out.String()), images, err
}

// ids gives headings the anchors that they have in the repository, too.
type ids struct{ anchors pages.Anchors }

func (i *ids) Generate(value []byte, _ ast.NodeKind) []byte {
	return []byte(i.anchors.Of(string(value)))
}
func (i *ids) Put([]byte) {}

// blocks renders what goldmark does otherwise: code in colours, wide tables that scroll,
// and headings with a link to themselves.
type blocks struct{}

func (b blocks) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindFencedCodeBlock, b.code)
	r.Register(ast.KindCodeSpan, b.span)
	r.Register(ast.KindHeading, b.heading)
	r.Register(east.KindTable, b.table)
}

func (blocks) heading(w util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	h := n.(*ast.Heading)
	level, id := string(rune('0'+h.Level)), ""
	if value, ok := h.AttributeString("id"); ok {
		id = string(value.([]byte))
	}
	if entering {
		w.WriteString("<h" + level + " id=\"" + id + "\">")
		return ast.WalkContinue, nil
	}
	if h.Level > 1 {
		w.WriteString(" <a class=\"anchor\" href=\"#" + id + "\" aria-label=\"link to this section\">#</a>")
	}
	w.WriteString("</h" + level + ">\n")
	return ast.WalkContinue, nil
}

func (blocks) table(w util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		w.WriteString("<div class=\"table\" tabindex=\"0\"><table>\n")
	} else {
		w.WriteString("</table></div>\n")
	}
	return ast.WalkContinue, nil
}

// span keeps what is short in one line: browsers would break a flag behind its dashes.
func (blocks) span(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkSkipChildren, nil
	}
	var code []byte
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		code = append(code, bytes.ReplaceAll(c.(*ast.Text).Value(source), []byte("\n"), []byte(" "))...)
	}
	w.WriteString("<code")
	if len(code) <= 28 {
		w.WriteString(" class=\"short\"")
	}
	w.WriteString(">")
	w.Write(util.EscapeHTML(code))
	w.WriteString("</code>")
	return ast.WalkSkipChildren, nil
}

func (blocks) code(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkSkipChildren, nil
	}
	block := n.(*ast.FencedCodeBlock)
	var code strings.Builder
	for i := range block.Lines().Len() {
		line := block.Lines().At(i)
		code.Write(line.Value(source))
	}
	lexer := lexers.Get(string(block.Language(source)))
	if lexer == nil {
		lexer = lexers.Fallback
	}
	tokens, err := chroma.Coalesce(lexer).Tokenise(nil, code.String())
	if err != nil {
		return ast.WalkStop, err
	}
	return ast.WalkSkipChildren, formatter.Format(w, styles.Fallback, tokens)
}

var formatter = html.New(html.WithClasses(true), html.TabWidth(4))

// colours is the style of code, for light and dark.
func colours() ([]byte, error) {
	var css bytes.Buffer
	css.WriteString("\n@media screen and (prefers-color-scheme: dark) {\n")
	if err := formatter.WriteCSS(&css, styles.Get("github-dark")); err != nil {
		return nil, err
	}
	css.WriteString("}\n@media print, (prefers-color-scheme: light) {\n")
	err := formatter.WriteCSS(&css, styles.Get("github"))
	css.WriteString("}\n")
	return css.Bytes(), err
}
