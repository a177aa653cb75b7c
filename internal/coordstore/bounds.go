package coordstore

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxKey       = 128
	maxValue     = 64 << 10
	maxHardValue = 4 << 20 // a map is one value
)

// Check says why an engine would not take such an entry. No store asks its engine
// before it has asked here, so that all of them refuse the same.
func Check(bucket, key string, value []byte) error {
	if err := CheckKey(bucket, key); err != nil {
		return err
	}
	switch most := MaxValue(bucket); {
	case len(value) == 0:
		return fmt.Errorf("nothing is to be written to %s/%s: delete it instead", bucket, key)
	case len(value) > most:
		return fmt.Errorf("%d bytes are to be written to %s/%s, which may have %d", len(value), bucket, key, most)
	}
	return nil
}

// CheckKey says why nothing can stand at such a key.
func CheckKey(bucket, key string) error {
	if err := CheckBucket(bucket); err != nil {
		return err
	}
	switch {
	case key == "" || len(key) > maxKey:
		return fmt.Errorf("a key in %s has %d bytes, it may have 1 to %d", bucket, len(key), maxKey)
	case strings.HasPrefix(key, ".") || strings.HasSuffix(key, ".") || strings.Contains(key, ".."):
		return fmt.Errorf("a key in %s begins or ends with a dot, or has two in a row: %q", bucket, key)
	case strings.IndexFunc(key, isForeign) >= 0:
		return fmt.Errorf("a key in %s has more than letters, digits, '-', '_' and '.': %q", bucket, key)
	}
	return nil
}

// CheckBucket says why there is no such bucket.
func CheckBucket(bucket string) error {
	if !slices.Contains(Buckets(), bucket) {
		return fmt.Errorf("there is no bucket %q", bucket)
	}
	return nil
}

// MaxValue is how many bytes a value in a bucket may have.
func MaxValue(bucket string) int {
	if bucket == Hard {
		return maxHardValue
	}
	return maxValue
}

func isForeign(r rune) bool {
	letter := r|0x20 >= 'a' && r|0x20 <= 'z'
	return !letter && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}
