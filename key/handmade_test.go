package key

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// A secret as people's files have it. It must not be repeated by any error.
const digits = "39673969441c81b54b3c70ba93f5810b33f59ee5f4a07c240723ba6b4e0cbbad"

var inBase64 = func() string {
	raw, _ := hex.DecodeString(digits)
	return base64.StdEncoding.EncodeToString(raw)
}()

// lettersInBase64 looks like a variable before its =.
var lettersInBase64 = strings.Repeat("a", 43) + "="

// utf16le is what PowerShell's > writes.
func utf16le(s string) string {
	out := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return string(out)
}

func TestRelayKeyFilesMadeByHand(t *testing.T) {
	asJSON := `{"PrivateKey": "privkey:` + digits + `"}`
	bare := "privkey:" + digits
	for name, c := range map[string]struct {
		content string
		want    string // of the error; empty: the key is taken
	}{
		"derper":                  {asJSON + "\n", ""},
		"derper, on more lines":   {"{\n\t\"PrivateKey\": \"" + bare + "\"\n}", ""},
		"derper, CRLF":            {asJSON + "\r\n", ""},
		"derper, byte order mark": {"\ufeff" + asJSON, ""},
		"derper, UTF-16":          {utf16le(asJSON), ""},
		"derper, Ctrl-Z":          {asJSON + "\x1a", ""},
		"Headscale":               {bare, ""},
		"Headscale, newline":      {bare + "\n", ""},
		"Headscale, CRLF":         {bare + "\r\n", ""},
		"Headscale, mark":         {"\ufeff" + bare, ""},
		"Headscale, UTF-16":       {utf16le(bare + "\r\n"), ""},
		"quotes":                  {`"` + bare + `"`, ""},
		"smart quotes":            {"“" + bare + "”", ""},
		"variable":                {"RELAY_KEY='" + bare + "'\n", ""},
		"exported variable":       {"export RELAY_KEY=" + bare, ""},
		"YAML":                    {"private_key: " + bare, ""},
		"no-break space":          {"\u00a0" + bare + "\u00a0", ""},
		"comment":                 {"# of fra1\n" + bare + "\n", ""},
		"comment in Latin-1":      {"# f\xfcr K\xf6ln\n" + bare + "\n", ""},
		"member in Latin-1":       {strings.Replace(asJSON, "}", ", \"note\": \"K\xf6ln\"}", 1), ""},
		"JSON, space in quotes":   {strings.Replace(asJSON, "privkey:", " privkey:", 1), ""},
		"JSON, newline in quotes": {strings.Replace(asJSON, digits, digits+`\n`, 1), ""},
		"JSON, key further in":    {`{"old": {"PrivateKey": 1}, ` + asJSON[1:], ""},
		"upper-case digits":       {"privkey:" + strings.ToUpper(digits), ""},

		"empty":              {"", "it is empty: restore it, or remove it"},
		"white space":        {" \r\n\t", "it is empty"},
		"only a mark":        {"\ufeff", "it is empty"},
		"hex":                {digits + "\n", `write "privkey:" in front of them`},
		"public key":         {"nodekey:" + digits, "this is a public key"},
		"base64":             {inBase64, "base64, as WireGuard writes them"},
		"PEM":                {"-----BEGIN PRIVATE KEY-----\n" + digits + "\n-----END PRIVATE KEY-----", "this is PEM"},
		"login key":          {"tskey-auth-" + digits, "a key to log in to a tailnet"},
		"smart quotes JSON":  {strings.ReplaceAll(asJSON, `"`, "“"), "smart double quote (U+201C) is character 2 of line 1"},
		"cut off":            {asJSON[:40], "line 1, column 40: not JSON"},
		"trailing comma":     {"{\n\"PrivateKey\": \"" + bare + "\",\n}", "line 3, column 1: not JSON"},
		"public key in JSON": {`{"PrivateKey": "nodekey:` + digits + `"}`, "this is a public key"},
		"base64 in JSON":     {`{"PrivateKey": "` + inBase64 + `"}`, "base64, as WireGuard writes them"},
		"base64 of letters":  {lettersInBase64, "base64, as WireGuard writes them"},
		"binary":             {strings.Repeat("\x87\x00\xf5\x9c", 8), "32 bytes of binary: write them as hex digits"},
		"UTF-8 and UTF-16":   {bare + "\n" + utf16le(bare), "save each part as UTF-8"},
		"letter in it":       {"privkey:" + digits[:9] + "O" + digits[10:], "character 10 is none"},
		"NUL":                {bare[:20] + "\x00" + bare[20:], "a NUL byte"},
		"gzip":               {"\x1f\x8b\x08", "gzip"},
		"zero-width inside":  {bare[:20] + "\u200b" + bare[20:], "zero-width space"},
		"two keys":           {bare + "\n" + bare, "private key: "},
		"two keys in JSON":   {"{\n\"PrivateKey\": \"" + bare + "\",\n\"PrivateKey\": \"" + bare + "\"}", "line 3: a second PrivateKey: keep the one"},
		"and in other case":  {`{"privateKey": null, "note": [{}], "PrivateKey": "` + bare + `"}`, "line 1: a second PrivateKey"},
		"words":              {"see the wiki", `want {"PrivateKey"`},
		"JSON without a key": {`{"key": "` + bare + `"}`, "no private key in it"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "relay.key")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			k, err := LoadFile(path)
			if c.want == "" {
				if err != nil || k.Text() != bare {
					t.Errorf("right key %v, error %v", k.Text() == bare, err)
				}
				return
			}
			checkRefusal(t, err, path, c.want)
			if _, created, err := LoadOrCreateFile(path); err == nil || created {
				t.Error("a key that cannot be read was replaced")
			}
		})
	}
}

func TestMeshKeyFilesMadeByHand(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		want    string // of the error; empty: the key is taken
	}{
		"plain":                {digits, ""},
		"newline":              {digits + "\n", ""},
		"CRLF":                 {digits + "\r\n", ""},
		"byte order mark":      {"\ufeff" + digits, ""},
		"UTF-16":               {utf16le(digits + "\n"), ""},
		"upper case":           {strings.ToUpper(digits), ""},
		"indentation":          {"  " + digits + "  \n", ""},
		"no-break indentation": {"\u00a0\u00a0" + digits, ""},
		"quotes":               {`"` + digits + `"`, ""},
		"single quotes":        {"'" + digits + "'", ""},
		"smart quotes":         {"“" + digits + "”", ""},
		"variable":             {"TAILSCALE_DERPER_MESH_KEY=" + digits, ""},
		"exported, quoted":     {`export DETOUR_MESH_KEY="` + digits + "\"\n", ""},
		"YAML":                 {"mesh-psk: " + digits, ""},
		"comment before":       {"# of region 900\n\n" + digits, ""},
		"comment close behind": {digits + "# since May", ""},
		"comment in Latin-1":   {"# f\xfcr K\xf6ln\r\n" + digits, ""},
		"prefix":               {"meshkey:" + digits, ""},
		"comment behind":       {digits + " # since May", ""},
		"Ctrl-Z":               {digits + "\r\n\x1a", ""},

		"empty":             {"", "no key in it"},
		"white space":       {"\n \n", "no key in it"},
		"only a comment":    {"# " + digits, "no key in it"},
		"short":             {digits[:32], "line 1: mesh key: want 64 hex digits, got 32 characters"},
		"base64":            {inBase64, "base64, as WireGuard writes them, no mesh key: write the 64 hex digits"},
		"base64 of letters": {lettersInBase64, "base64, as WireGuard writes them"},
		"base64 for URLs":   {strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(inBase64), "base64, as WireGuard writes them"},
		"binary":            {strings.Repeat("\x87\x00\xf5\x9c", 8), "32 bytes of binary: write them as hex digits"},
		"Ansible Vault":     {"$ANSIBLE_VAULT;1.1;AES256\n6162\n", "ansible-vault decrypt"},
		"UTF-8 and UTF-16":  {digits + "\n" + utf16le(digits), "save each part as UTF-8"},
		"PEM":               {"-----BEGIN MESH-----\n" + digits + "\n-----END MESH-----", "line 1: this is PEM"},
		"relay's key":       {"privkey:" + digits, "the private key of a relay, no mesh key"},
		"node key":          {"nodekey:" + digits, "a public key, no mesh key"},
		"zeros":             {strings.Repeat("0", 64), "all zeros mean no mesh key"},
		"second line":       {digits + "\n\n" + digits[2:], "line 3: mesh key: want 64 hex digits, got 62"},
		"other letters":     {digits[:62] + "zz", "character 63 is none"},
		"full-width digit":  {digits[:63] + "４", "full-width character"},
		"zero-width inside": {digits[:32] + "\u200b" + digits[32:], "zero-width space"},
		"NUL":               {digits[:32] + "\x00" + digits[32:], "a NUL byte"},
		"too many":          {strings.Repeat(digits+"\n", 5), "line 5: more than 4 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mesh.key")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			keys, err := LoadMeshFile(path)
			if c.want != "" {
				checkRefusal(t, err, path, c.want)
			} else if err != nil || len(keys) != 1 || keys[0].Text() != digits {
				t.Errorf("%d keys, error %v", len(keys), err)
			}
		})
	}
}

func TestMeshKeyFileKeepsTheOrder(t *testing.T) {
	second := strings.Repeat("5e", Len)
	keys, err := ParseMeshFile([]byte("# new\n" + digits + "\n# old\n" + second + "\n"))
	if err != nil || len(keys) != 2 || keys[0].Text() != digits || keys[1].Text() != second {
		t.Errorf("%d keys, error %v", len(keys), err)
	}
}

// checkRefusal wants one line that names the file and repeats nothing of it.
func checkRefusal(t *testing.T, err error, path, want string) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	got := err.Error()
	if !strings.Contains(got, want) || !strings.Contains(got, path) || strings.Contains(got, "\n") {
		t.Errorf("error %q, want one line with %q and the path", got, want)
	}
	if strings.Contains(strings.ToLower(got), digits[:6]) || strings.Contains(got, inBase64[:6]) {
		t.Errorf("the error repeats the secret: %q", got)
	}
}
