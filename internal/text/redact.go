package text

import (
	"regexp"
	"strings"
)

// RedactURL hides user and password in what may be a URL, also in one that cannot be
// parsed: a rejected argument must not repeat them.
func RedactURL(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return s
	}
	user, _, hasPassword := strings.Cut(rest[:at], ":")
	if !hasPassword && ok {
		return s // a user alone is no secret
	}
	if hasPassword {
		user += ":***"
	}
	redacted := user + rest[at:]
	if ok {
		redacted = scheme + "://" + redacted
	}
	return redacted
}

var password = regexp.MustCompile(`(://[^"/:@]*):[^"]*@`)

// RedactURLs hides the passwords in the URLs of a longer text.
func RedactURLs(s string) string { return password.ReplaceAllString(s, "$1:***@") }
