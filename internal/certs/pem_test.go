package certs

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// A disguise is what people's tools make of a PEM text.
type disguise struct {
	name string
	wear func(text string) string
}

func replacing(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

func everyLine(before, after string) func(string) string {
	return func(text string) string {
		out := ""
		for line := range strings.Lines(text) {
			out += before + strings.TrimSuffix(line, "\n") + after + "\n"
		}
		return out
	}
}

func in16(text string, mark string, little bool) string {
	out := []byte(mark)
	for _, u := range utf16.Encode([]rune(text)) {
		if little {
			out = append(out, byte(u), byte(u>>8))
		} else {
			out = append(out, byte(u>>8), byte(u))
		}
	}
	return string(out)
}

// understood are those that are read as if nothing had happened.
var understood = []disguise{
	{"as it is", func(s string) string { return s }},
	{"byte order mark", func(s string) string { return "\ufeff" + s }},
	{"two byte order marks", func(s string) string { return "\ufeff\ufeff" + s }},
	{"byte order mark in each part", func(s string) string { return strings.ReplaceAll(s, "-----BEGIN", "\ufeff-----BEGIN") }},
	{"UTF-16 LE", func(s string) string { return in16(s, "\xff\xfe", true) }},
	{"UTF-16 BE", func(s string) string { return in16(s, "\xfe\xff", false) }},
	{"UTF-16 without mark", func(s string) string { return in16(s, "", true) }},
	{"CRLF", replacing("\n", "\r\n")},
	{"CR", replacing("\n", "\r")},
	{"blank lines", replacing("\n", "\n\n")},
	{"Ctrl-Z", func(s string) string { return s + "\x1a" }},
	{"indentation", everyLine("  ", "")},
	{"tabs", everyLine("\t", "  ")},
	{"YAML", func(s string) string { return "tls.crt: |\n" + everyLine("    ", "")(s) }},
	{"no-break spaces", everyLine("\u00a0\u00a0", "\u00a0")},
	{"one line", replacing("\n", "")},
	{"one line with spaces", replacing("\n", " ")},
	{"escaped newlines", replacing("\n", `\n`)},
	{"escaped CRLF", replacing("\n", `\r\n`)},
	{"JSON string", func(s string) string { return `{"cert": ` + string(must(json.Marshal(s))) + `}` }},
	{"JSON list", func(s string) string {
		return "[\n" + everyLine(`  "`, `",`)(s) + "]"
	}},
	{"quotes", func(s string) string { return `"` + s + `"` }},
	{"smart quotes", func(s string) string { return "“" + s + "”" }},
	{"variable", func(s string) string { return "CERT=" + s }},
	{"exported variable in quotes", func(s string) string { return "export CERT='" + s + "'\n" }},
	{"shell continuation", everyLine("", `\`)},
	{"quoted mail", everyLine("> ", "")},
	{"em dash", replacing("-----BEGIN", "—--BEGIN")},
	{"en dashes", replacing("-----", "––-")},
	{"no newline between", replacing("-----\n-----BEGIN", "----------BEGIN")},
	{"no newline at the end", func(s string) string { return strings.TrimSuffix(s, "\n") }},
	{"lower case", replacing("BEGIN", "begin", "END ", "end ")},
	{"four dashes", replacing("-----", "----")},
	{"zero-width spaces", replacing("-----BEGIN", "\u200b-----BEGIN")},
	{"words around", func(s string) string {
		return "Bag Attributes\n    friendlyName: relay\nsubject=CN = relay.example\n" + s + "\nthat was all\n"
	}},
	{"comments in Latin-1", func(s string) string { return "# f\xfcr M\xfcnchen\n" + s + "# Caf\xe9\n" }},
	{"dashes of Windows-1252", replacing("-----", "\x97-")},
	{"an old one commented out", func(s string) string { return everyLine("# ", "")(s) + s + everyLine("#", "")(s) }},
	{"two files of UTF-16", func(s string) string {
		at := len(s) / 2
		return in16(s[:at], "\xff\xfe", true) + in16(s[at:], "", true)
	}},
	{"shouting X509", replacing("BEGIN CERTIFICATE", "BEGIN X509 CERTIFICATE", "END CERTIFICATE", "END X509 CERTIFICATE")},
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}

func TestPEMInDisguiseIsUnderstood(t *testing.T) {
	ca := newPKI(t, "Test CA")
	leaf := issue(t, ca.middle, server(), newECKey(t))
	other := newPKI(t, "Other CA").root
	chain, key := pemOf(leaf, ca.middle), keyPEM(t, leaf.key)
	for _, d := range understood {
		t.Run(d.name, func(t *testing.T) {
			f, log, err := open(t, d.wear(chain), d.wear(key), "relay.example")
			if err != nil {
				t.Fatal(err)
			}
			pair := pairOf(f)
			if len(pair.Certificate) != 2 || !pair.Leaf.Equal(leaf.cert) || string(pair.Certificate[1]) != string(ca.middle.cert.Raw) {
				t.Errorf("%d certificates, first %v", len(pair.Certificate), pair.Leaf.Subject)
			}
			if log.String() != "" {
				t.Errorf("said: %s", log)
			}
			// None of several authorities is lost, the first least of all.
			path := put(t, t.TempDir()+"/ca.pem", []byte(d.wear(pemOf(ca.root, other, ca.middle))))
			chainOf, err := readChain(path, must(readFile(path)))
			if err != nil || len(chainOf) != 3 || !chainOf[0].Equal(ca.root.cert) || !chainOf[2].Equal(ca.middle.cert) {
				t.Errorf("%d authorities, %v", len(chainOf), err)
			}
			roots, err := ReadRoots(path)
			if err != nil || roots == nil {
				t.Errorf("ReadRoots: %v", err)
			}
		})
	}
}

// What cannot be read is named with place and remedy, never left out: by each of the
// readers, and also where it stands between others that are good.
func TestPEMThatCannotBeRead(t *testing.T) {
	ca := newPKI(t, "Test CA")
	leaf := issue(t, ca.middle, server(), newECKey(t))
	cert, key := pemOf(leaf), keyPEM(t, leaf.key)
	body := strings.Split(cert, "\n")
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"cut off", cert[:200], []string{"line 1: the block CERTIFICATE has no -----END CERTIFICATE-----", "copy it again"}},
		{"beginning missing", strings.Join(body[1:], "\n"), []string{"-----END CERTIFICATE----- has no BEGIN before it"}},
		{"END missing", strings.ReplaceAll(cert, "-----END CERTIFICATE-----", "") + cert, []string{"line 1: the block CERTIFICATE has no"}},
		{"line missing", strings.Join(slices.Concat(body[:2], body[3:]), "\n"), []string{"line 1", "damaged"}},
		{"character missing", strings.Replace(cert, "MII", "MI", 1), []string{"line 1", "damaged"}},
		{"ellipsis", body[0] + "\n" + body[1] + "\n...\n" + body[len(body)-2] + "\n", []string{"character 1 of line 3 cannot be in it"}},
		{"nothing between", body[0] + "\n" + body[len(body)-2], []string{"nothing stands between BEGIN and END"}},
		{"ends as another", strings.Replace(cert, "END CERTIFICATE", "END PRIVATE KEY", 1), []string{"begins as CERTIFICATE and ends as PRIVATE KEY"}},
		{"commented out", everyLine("# ", "")(cert), []string{"line 1: the block CERTIFICATE is commented out"}},
		{"UTF-16 behind UTF-8", cert + cert + in16("\n"+body[0]+"\n", "", true), []string{"UTF-16 begins here", "save each part as UTF-8"}},
		{"UTF-8 behind UTF-16", in16(cert, "\xff\xfe", true) + cert, []string{"column 1: UTF-8 stands here", "save each part as UTF-8"}},
		{"UTF-8 before UTF-16", cert + in16(cert+cert, "", true), []string{"line 1, column 1: UTF-8 stands here"}},
		{"encrypted key in DER", string(decodePEM(testdata(t, "enc8.key"))), []string{"encrypted", "openssl pkey -inform DER -in "}},
		{"manifest", "kind: Secret\ndata:\n  tls.crt: " + base64.StdEncoding.EncodeToString([]byte(cert)), []string{"line 3: base64 of PEM", "base64 -d"}},
		{"encrypted with age", "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n", []string{"age -d"}},
		{"template", "{{ .Values.cert }}\n", []string{"a template"}},
		{"variable not replaced", "${CERT}\n", []string{"nobody has put a value"}},
		{"path", "/etc/ssl/relay.pem\n", []string{"the name of a file"}},
		{"no dashes", strings.ReplaceAll(cert, "-----", ""), []string{"line 1: five dashes belong on each side of BEGIN CERTIFICATE"}},
		{"trusted", testdata(t, "trusted.pem"), []string{"OpenSSL's own form: convert it with openssl x509 -in "}},
		{"PKCS#7", testdata(t, "full.p7b"), []string{"PKCS#7", "openssl pkcs7 -print_certs -in "}},
		{"PKCS#7, DER", testdata(t, "p7.der"), []string{"PKCS#7", "openssl pkcs7 -inform DER -print_certs -in "}},
		{"PKCS#12", testdata(t, "full.pfx"), []string{"PKCS#12", "openssl pkcs12 -in "}},
		{"DER", string(leaf.cert.Raw), []string{"a certificate in DER", "openssl x509 -inform DER -in "}},
		{"key in DER", string(decodePEM(key)), []string{"a private key in DER", "openssl pkey -inform DER -in "}},
		{"damaged DER", string(leaf.cert.Raw[:100]), []string{"binary (DER)"}},
		{"Java keystore", "\xfe\xed\xfe\xed\x00\x00\x00\x02", []string{"keytool -importkeystore -srckeystore "}},
		{"base64 of PEM", base64.StdEncoding.EncodeToString([]byte(cert)), []string{"secrets of Kubernetes", "base64 -d "}},
		{"base64 alone", strings.Join(body[1:len(body)-2], "\n"), []string{"base64 without -----BEGIN"}},
		{"empty", "", []string{"it is empty"}},
		{"white space", "\r\n \r\n", []string{"it is empty"}},
		{"only a mark", "\ufeff", []string{"it is empty"}},
		{"words", "hello", []string{"no -----BEGIN stands in it"}},
		{"web page", "<!DOCTYPE html>", []string{"a web page"}},
		{"gzip", "\x1f\x8b\x08\x00", []string{"gzip"}},
		{"SSH public key", testdata(t, "ssh.pub"), []string{"a public key of SSH"}},
		{"relay's key", "privkey:" + strings.Repeat("5e", 32), []string{"the key of a relay, not that of a certificate"}},
		{"NUL", cert[:100] + "\x00" + cert[100:], []string{"a NUL byte"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := open(t, c.text, key, "")
			checkError(t, err, "certificate file ", c.want...)
			path := put(t, t.TempDir()+"/ca.pem", []byte(c.text))
			_, err = ReadRoots(path)
			checkError(t, err, path, c.want...)
			if strings.HasSuffix(c.name, " missing") && c.name != "beginning missing" && c.name != "END missing" {
				return // a certificate in place of a key is that first of all
			}
			_, _, err = open(t, cert, c.text, "")
			checkError(t, err, "key file ", c.want...)
		})
	}
	for _, bad := range []string{"cut off", "damaged"} {
		broken := cert[:200] + "\n"
		if bad == "damaged" {
			broken = strings.Replace(cert, "MII", "MI!", 1)
		}
		path := put(t, t.TempDir()+"/ca.pem", []byte(pemOf(ca.root)+broken+pemOf(ca.middle)))
		_, err := ReadRoots(path)
		checkError(t, err, path, "CERTIFICATE")
	}
}

func decodePEM(text string) []byte {
	b, _ := pem.Decode([]byte(text))
	return b.Bytes
}

// checkError wants one line with all the words.
func checkError(t *testing.T, err error, place string, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: accepted", place)
		return
	}
	for _, word := range append([]string{place}, words...) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "%") {
		t.Errorf("error of more than one line, or with a verb in it: %q", err)
	}
}
