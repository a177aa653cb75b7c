package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/detour-relay/detour/internal/text"
)

var (
	oidData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
)

// binaryForm names what people have instead of PEM, with the command that makes PEM
// of it; nil if the data may be text.
func binaryForm(path string, data []byte) error {
	what := ""
	switch {
	case bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}), bytes.HasPrefix(data, []byte{0xce, 0xce, 0xce, 0xce}):
		what = "a Java keystore, no PEM: convert it with keytool -importkeystore -srckeystore %s -destkeystore NEW.p12 -deststoretype PKCS12, " +
			"then openssl pkcs12 -in NEW.p12 -nodes -out NEW.pem"
	case len(data) < 2 || data[0] != 0x30 || data[1] < 0x80 && len(data) != 2+int(data[1]):
		return nil // no sequence of ASN.1, or it has another length
	default:
		what = derForm(data)
	}
	return errors.New("it is " + strings.ReplaceAll(what, "%s", path))
}

// derForm names what is encoded in DER.
func derForm(data []byte) string {
	der := data
	var whole asn1.RawValue
	if rest, err := asn1.Unmarshal(data, &whole); err == nil && len(bytes.TrimSpace(rest)) == 0 {
		der = whole.FullBytes // without a newline behind it
	}
	var envelope struct {
		Type asn1.ObjectIdentifier
		Rest asn1.RawValue `asn1:"optional"`
	}
	var store struct {
		Version int
		Content struct {
			Type asn1.ObjectIdentifier
			Rest asn1.RawValue `asn1:"optional"`
		}
		MAC asn1.RawValue `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(der, &store); err == nil && store.Version == 3 && (store.Content.Type.Equal(oidData) || store.Content.Type.Equal(oidSignedData)) {
		return "a PKCS#12 file (.pfx, .p12), no PEM: take certificate and key out of it with openssl pkcs12 -in %s -nodes -out NEW.pem (with -legacy for an old one), which is good for both files"
	}
	if _, err := asn1.Unmarshal(der, &envelope); err == nil && envelope.Type.Equal(oidSignedData) {
		return "a PKCS#7 file (.p7b) in DER, no PEM: take the certificates out of it with openssl pkcs7 -inform DER -print_certs -in %s -out NEW.pem"
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		return "a certificate in DER, no PEM: convert it with openssl x509 -inform DER -in %s -out NEW.pem"
	}
	if _, err := x509.ParseCertificateRequest(der); err == nil {
		return "a certificate request: the certificate is what the authority makes of it"
	}
	if _, err := x509.ParseRevocationList(der); err == nil {
		return "a list of revoked certificates: name the certificate"
	}
	if _, err := parsePrivateKey(der); err == nil || algorithmOf(der) != "" {
		return "a private key in DER, no PEM: convert it with openssl pkey -inform DER -in %s -out NEW.pem"
	}
	if isEncrypted(der) {
		return "a private key in DER that is encrypted, no PEM: take the passphrase away with openssl pkey -inform DER -in %s -out NEW.key, and let only the relay read that"
	}
	if _, err := x509.ParsePKIXPublicKey(der); err == nil {
		return "a public key: name the certificate, or the private key"
	}
	return "binary (DER), no PEM, and perhaps damaged: see what openssl asn1parse -inform DER -in %s makes of it"
}

// pemInBase64 is how -----BEGIN begins in base64.
const pemInBase64 = "LS0tLS1CRUdJTi"

// noBlocks says what a text is in which there is no block.
func noBlocks(path string, plain []byte) error {
	trimmed := bytes.TrimSpace(plain)
	if len(trimmed) == 0 {
		return errors.New("it is empty")
	}
	if at := markerWords.FindSubmatchIndex(plain); at != nil {
		words := kindOf(plain[at[4]:at[5]])
		if strings.HasSuffix(words, "CERTIFICATE") || strings.HasSuffix(words, "KEY") {
			line, _ := text.Place(plain, at[0])
			return fmt.Errorf("line %d: five dashes belong on each side of BEGIN %s: copy it again", line, words)
		}
	}
	if i := bytes.Index(plain, []byte(pemInBase64)); i >= 0 && !bytes.HasPrefix(trimmed, []byte(pemInBase64)) {
		line, _ := text.Place(plain, i)
		return fmt.Errorf("line %d: base64 of PEM stands here, as Secrets of Kubernetes and Traefik's acme.json hold it: decode that text alone with base64 -d", line)
	}
	for _, known := range []struct{ begins, what string }{
		{pemInBase64, "base64 of PEM, as secrets of Kubernetes hold it: decode it with base64 -d " + path + " > NEW.pem"},
		{"MII", "base64 without -----BEGIN and -----END: put the lines that are missing around it, or decode it with base64 -d and convert it"},
		{"ssh-", "a public key of SSH: name the certificate, or the private key"},
		{"ecdsa-sha2-", "a public key of SSH: name the certificate, or the private key"},
		{"PuTTY-User-Key-File", "a key of PuTTY: name the certificate's own key"},
		{"privkey:", "the key of a relay, not that of a certificate"},
		{"<", "a web page or XML: name the file itself"},
		{"{{", "a template that was not filled in"},
		{"${", "a variable in whose place nobody has put a value"},
		{"/", "the name of a file, it seems: name that file itself"},
		{"{", "JSON: take the PEM texts out of it"},
	} {
		if bytes.HasPrefix(trimmed, []byte(known.begins)) {
			return errors.New("it is " + known.what)
		}
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(trimmed)), "")); err == nil && len(raw) > 64 {
		return errors.New("it is base64 without -----BEGIN and -----END: decode it with base64 -d " + path + " > NEW and see what it is")
	}
	return errors.New("no -----BEGIN stands in it: want PEM")
}
