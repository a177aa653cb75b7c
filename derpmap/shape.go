package derpmap

import "bytes"

// shape is what the brackets of a JSON text tell, before a parser that has no bounds
// follows them.
type shape struct {
	values  int   // at most so many
	tooDeep int   // offset of the bracket that is one too deep; -1
	human   int   // offset of the first comment or trailing comma; -1
	open    []int // offsets of the brackets that nothing closes
	stray   int   // offset of the first bracket that closes nothing; -1
}

func shapeOf(source []byte) shape {
	s := shape{values: 1, tooDeep: -1, human: -1, stray: -1}
	comma := -1 // offset of one after which nothing but white space came
	for i := 0; i < len(source); i++ {
		c := source[i]
		end := skip(source, i)
		if end > i && c == '/' {
			s.note(i)
		}
		i = end
		switch c {
		case ' ', '\t', '\n', '/':
			continue
		case ',':
			if comma = i; s.inList(source) {
				s.values++
			}
			continue
		case ':':
			s.values++
		case '{', '[':
			s.opens(source, i)
		case '}', ']':
			if comma >= 0 {
				s.note(comma)
			}
			s.closes(source, i)
		}
		comma = -1
	}
	return s
}

func (s *shape) note(offset int) {
	if s.human < 0 || offset < s.human {
		s.human = offset
	}
}

func (s *shape) inList(source []byte) bool {
	return len(s.open) > 0 && source[s.open[len(s.open)-1]] == '['
}

func (s *shape) opens(source []byte, i int) {
	if source[i] == '[' {
		s.values++
	}
	if len(s.open) >= maxDepth {
		if s.tooDeep < 0 {
			s.tooDeep = i
		}
		return
	}
	s.open = append(s.open, i)
}

func (s *shape) closes(source []byte, i int) {
	last := len(s.open) - 1
	if last < 0 || (source[s.open[last]] == '{') != (source[i] == '}') {
		if s.stray < 0 {
			s.stray = i
		}
		return
	}
	s.open = s.open[:last]
}

// skip returns the offset of the last byte of the string or comment that begins at i,
// or i if none does.
func skip(source []byte, i int) int {
	switch source[i] {
	case '"':
		for j := i + 1; j < len(source); j++ {
			switch source[j] {
			case '\\':
				j++
			case '"':
				return j
			}
		}
		return len(source)
	case '/':
		return afterComment(source, i)
	}
	return i
}

// afterComment returns the offset of the last byte of the comment that begins at i,
// or i if none does.
func afterComment(source []byte, i int) int {
	for start, end := range map[string]string{"//": "\n", "/*": "*/"} {
		if !bytes.HasPrefix(source[i:], []byte(start)) {
			continue
		}
		n := bytes.Index(source[i+2:], []byte(end))
		if n < 0 {
			return len(source)
		}
		return i + 2 + n + len(end) - 1
	}
	return i
}
