package initcmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// A prompter asks a person, line by line.
type prompter struct {
	ctx   context.Context
	out   io.Writer
	lines chan string
}

// newPrompter returns one for a terminal, else nil. It reads until there is nothing more
// to read: a line that nobody waits for ends with the program.
func newPrompter(ctx context.Context, in io.Reader, out io.Writer) *prompter {
	w, ok := in.(io.Writer)
	if !ok || !cli.IsTerminal(w) {
		return nil
	}
	return startPrompter(ctx, in, out)
}

func startPrompter(ctx context.Context, in io.Reader, out io.Writer) *prompter {
	p := &prompter{ctx: ctx, out: out, lines: make(chan string)}
	go func() {
		defer close(p.lines)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			select {
			case p.lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return p
}

var errInterrupted = errors.New("interrupted: nothing was changed")

// line asks for one line, and returns what stands in the brackets if it is empty.
func (p *prompter) line(prompt, usual string) (string, error) {
	if usual != "" {
		prompt += " [" + usual + "]"
	}
	fmt.Fprintf(p.out, "%s: ", prompt)
	select {
	case text, ok := <-p.lines:
		if !ok {
			fmt.Fprintln(p.out)
			return "", errors.New("there are no more answers: nothing was changed")
		}
		if text = strings.TrimSpace(text); text == "" {
			text = usual
		}
		return text, nil
	case <-p.ctx.Done():
		fmt.Fprintln(p.out)
		return "", errInterrupted
	}
}

// agreed asks a question that is answered by yes or no.
func (p *prompter) agreed(question string, usual bool) (bool, error) {
	hint := "y/N"
	if usual {
		hint = "Y/n"
	}
	for {
		text, err := p.line(question+" ["+hint+"]", "")
		switch strings.ToLower(text) {
		case "y", "yes":
			return true, err
		case "n", "no":
			return false, err
		case "":
			return usual && err == nil, err
		}
		fmt.Fprintln(p.out, "write y or n")
	}
}
