package certs

import "strings"

// A block that is not what was wanted is named, with what helps. %s is the file.
var kinds = map[string]string{
	"CERTIFICATE":           "a certificate",
	"TRUSTED CERTIFICATE":   "a certificate in OpenSSL's own form: convert it with openssl x509 -in %s -out NEW.pem",
	"CERTIFICATE REQUEST":   "a certificate request: the certificate is what the authority makes of it",
	"PKCS7":                 "PKCS#7: take the certificates out of it with openssl pkcs7 -print_certs -in %s -out NEW.pem",
	"X509 CRL":              "a list of revoked certificates",
	"PRIVATE KEY":           "a private key",
	"RSA PRIVATE KEY":       "a private key",
	"EC PRIVATE KEY":        "a private key",
	"ENCRYPTED PRIVATE KEY": "a private key that is encrypted: take the passphrase away with openssl pkey -in %s -out NEW.key, and let only the relay read that",
	"OPENSSH PRIVATE KEY":   "a key of SSH: name the key that the certificate was made with; if it is this one, convert a copy with ssh-keygen -p -N '' -m PKCS8 -f COPY",
	"DSA PRIVATE KEY":       "a DSA key, which TLS does not use any more: " + newKey,
	"PUBLIC KEY":            "a public key: name the private key, which openssl pkey -in KEY -pubout made this from",
	"RSA PUBLIC KEY":        "a public key: name the private key that belongs to it",
	"EC PARAMETERS":         "the parameters of an EC key without the key: name the file that openssl ecparam -genkey or openssl genpkey wrote",
	"TSS2 PRIVATE KEY":      "a key that lies in a TPM, where the relay cannot use it: " + newKey,
	"DH PARAMETERS":         "Diffie-Hellman parameters, which nothing here needs",
}

// namedCurve is what is wrong with keys that are good but for how their curve is written.
const namedCurve = "its curve is written out in numbers (explicit parameters), which TLS does not know: "

// newKey is the remedy for keys that cannot be used.
const newKey = "make another with openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out NEW.key, and have a certificate issued for it"

// describe says what a block is and what to do about that.
func (b block) describe(path string) string {
	kind := b.kind
	if b.encrypted {
		kind = "ENCRYPTED PRIVATE KEY"
	}
	what, known := kinds[kind]
	if !known {
		return "a block " + kind
	}
	return strings.ReplaceAll(what, "%s", path)
}
