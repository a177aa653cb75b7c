package text

import (
	"strings"
	"unicode/utf8"
)

// Nearest returns the one of names that s may be a slip of, or "".
func Nearest(s string, names []string) string {
	if utf8.RuneCountInString(s) > 40 {
		return ""
	}
	best, least := "", 3 // two slips at most
	for _, name := range names {
		if n := slips(strings.ToLower(s), strings.ToLower(name)); n < least && n < len(name)/2 {
			best, least = name, n
		}
	}
	return best
}

// slips counts how many letters have to be put in, taken out or replaced to make b
// of a (Levenshtein's distance). Separators within names count nothing.
func slips(a, b string) int {
	separators := strings.NewReplacer("_", "", "-", "", " ", "")
	from, to := []rune(separators.Replace(a)), []rune(separators.Replace(b))
	row := make([]int, len(to)+1) // distances of what is read of from to each beginning of to
	for j := range row {
		row[j] = j
	}
	for i, x := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range to {
			replace := diagonal
			if x != y {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
