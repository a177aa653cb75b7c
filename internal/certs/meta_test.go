package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// metaVector is the entry meta_cert of the protocol's test vectors.
type metaVector struct {
	DER        string `json:"der_hex"`
	CommonName string `json:"common_name"`
	Extensions []struct {
		OID      string
		Critical bool
		Value    string `json:"value_hex"`
	}
	IsCA         bool   `json:"is_ca"`
	Serial       string `json:"serial"`
	ValidityDays int    `json:"validity_days"`
	Version      int    `json:"x509_version"`
}

func readMetaVector(t *testing.T) (metaVector, *x509.Certificate) {
	t.Helper()
	text, err := os.ReadFile("../../derp/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Meta metaVector `json:"meta_cert"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	der, err := hex.DecodeString(all.Meta.DER)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return all.Meta, cert
}

func TestMetaMatchesVector(t *testing.T) {
	want, wantCert := readMetaVector(t)
	server, ok := derp.ParseMetaCertName(want.CommonName)
	if !ok {
		t.Fatalf("common name %q is not that of a meta certificate", want.CommonName)
	}
	meta, err := NewMeta(server)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x509.ParseCertificate(meta.DER())
	if err != nil {
		t.Fatal(err)
	}

	if got.Version != want.Version || got.SerialNumber.String() != want.Serial || got.IsCA != want.IsCA {
		t.Errorf("version %d serial %v CA %v, want %d %s %v", got.Version, got.SerialNumber, got.IsCA, want.Version, want.Serial, want.IsCA)
	}
	if !bytes.Equal(got.RawSubject, wantCert.RawSubject) || !bytes.Equal(got.RawIssuer, wantCert.RawIssuer) {
		t.Errorf("subject %v issuer %v, want %v and %v", got.Subject, got.Issuer, wantCert.Subject, wantCert.Issuer)
	}
	if got.SignatureAlgorithm != wantCert.SignatureAlgorithm || got.PublicKeyAlgorithm != wantCert.PublicKeyAlgorithm {
		t.Errorf("algorithms %v %v, want %v %v", got.SignatureAlgorithm, got.PublicKeyAlgorithm, wantCert.SignatureAlgorithm, wantCert.PublicKeyAlgorithm)
	}
	if len(got.SubjectKeyId) != 0 || len(got.AuthorityKeyId) != 0 || len(got.DNSNames) != 0 {
		t.Errorf("key identifiers %x %x, names %v: want none", got.SubjectKeyId, got.AuthorityKeyId, got.DNSNames)
	}
	if len(got.Extensions) != len(want.Extensions) {
		t.Fatalf("%d extensions, want %d", len(got.Extensions), len(want.Extensions))
	}
	for i, e := range want.Extensions {
		g := got.Extensions[i]
		if g.Id.String() != e.OID || g.Critical != e.Critical || hex.EncodeToString(g.Value) != e.Value {
			t.Errorf("extension %d: %v %v %x, want %+v", i, g.Id, g.Critical, g.Value, e)
		}
	}
	if days := got.NotAfter.Sub(got.NotBefore).Hours() / 24; days != float64(want.ValidityDays) {
		t.Errorf("valid for %v days, want %d", days, want.ValidityDays)
	}
	if err := got.CheckSignature(got.SignatureAlgorithm, got.RawTBSCertificate, got.Signature); err != nil {
		t.Errorf("self-signature: %v", err)
	}
	// Everything up to the dates has the same bytes in the same places.
	if len(got.Raw) != len(wantCert.Raw) {
		t.Errorf("%d bytes, the vector has %d", len(got.Raw), len(wantCert.Raw))
	}
}

func TestMetaRenewsBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meta, err := NewMeta(key.NewPrivate().Public())
		if err != nil {
			t.Fatal(err)
		}
		first := meta.DER()
		time.Sleep(metaRenew - time.Second)
		if !bytes.Equal(meta.DER(), first) {
			t.Error("renewed too early")
		}
		time.Sleep(time.Second)
		second := meta.DER()
		if bytes.Equal(second, first) {
			t.Error("not renewed in time")
		}
		for range 20 { // over a year and a half: always inside the dates
			time.Sleep(29 * 24 * time.Hour)
			cert, err := x509.ParseCertificate(meta.DER())
			if err != nil {
				t.Fatal(err)
			}
			if now := time.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
				t.Fatalf("at %v valid from %v to %v", now, cert.NotBefore, cert.NotAfter)
			}
			if cert.SerialNumber.Cmp(big.NewInt(2)) != 0 {
				t.Fatalf("serial %v", cert.SerialNumber)
			}
		}
	})
}
