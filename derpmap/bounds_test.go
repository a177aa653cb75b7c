package derpmap

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// allocated returns how many bytes f asks for in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Whoever writes a map does not choose how much memory its readers take.
func TestHostileMapsTakeLittleMemory(t *testing.T) {
	for name, test := range map[string]struct {
		source string
		form   Form
		most   uint64 // MB in all, garbage included
	}{
		"nested lists":       {`{"Regions":{},` + strings.Repeat(`"x":[[[[]]]],`, 80_000) + `"y":1}`, HuJSON, 8},
		"many values":        {`{"Regions":{},"x":[` + strings.Repeat(`1,`, 60_000) + `1]}`, JSON, 60},
		"aliases":            {bomb(9), YAML, 16},
		"aliases of objects": {strings.ReplaceAll(bomb(9), "[x]", "{x: {y: z}}"), YAML, 24},
		"flow of YAML":       {"x: [" + strings.Repeat("[],", 340_000) + "]", YAML, 8},
		"dashes of YAML":     {strings.Repeat("- \n", 340_000), YAML, 8},
		"error at the end":   {"regions:\n" + strings.Repeat("  1: {name: xxxxxxxxxx}\n", 20_000) + "\tx", YAML, 100},
		"nested dashes":      {strings.Repeat("- ", 500_000) + "x", YAML, 8},
	} {
		if len(test.source) > MaxSize+1000 {
			t.Fatalf("%s: %d bytes", name, len(test.source))
		}
		source := []byte(test.source)
		var err error
		got := allocated(func() { _, err = Load(source, test.form) })
		if got>>20 > test.most {
			t.Errorf("%s: %d MB, want %d at most (%.100v)", name, got>>20, test.most, err)
		}
		t.Logf("%s: %d KB; %.120v", name, got>>10, err)
	}
}

func TestAMapOfThousandsOfRegionsIsTaken(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"Regions":{`)
	for i := 1; i <= 6505; i++ {
		fmt.Fprintf(&text, `"%d":{"RegionID":%d,"RegionCode":"r%d","RegionName":"R","Nodes":[{"Name":"%da","RegionID":%d,"HostName":"h%d.example"}]},`, i, i, i, i, i, i)
	}
	source := strings.TrimSuffix(text.String(), ",") + "}}"
	for _, form := range []Form{JSON, HuJSON} {
		if m, err := Load([]byte(source), form); err != nil || len(m.IDs()) != 6505 {
			t.Errorf("%s: %v", form, err)
		}
	}
	m := load(t, source)
	yaml, err := m.Encode(YAML)
	if err != nil {
		t.Fatal(err)
	}
	if len(yaml) < MaxSize {
		if _, err := Load(yaml, YAML); err != nil {
			t.Error(err)
		}
	}
}
