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

// RedactArguments hides in a message the passwords that command-line arguments have:
// whoever refuses one may repeat it whole, or the part of it that is wrong.
func RedactArguments(message string, args []string) string {
	for _, arg := range args {
		for part := range strings.SplitSeq(arg, ",") {
			if p := passwordOf(part); p != "" {
				message = strings.ReplaceAll(message, p+"@", "***@")
			}
		}
	}
	return message
}

// passwordOf returns what stands between user and host of what may be a URL.
func passwordOf(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	_, p, _ := strings.Cut(s[:max(0, strings.LastIndexByte(s, '@'))], ":")
	return p
}
