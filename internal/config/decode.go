package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Decode reads settings in their JSON form. What is not there is as in [Defaults];
// what is there and means nothing is an error.
func Decode(data []byte) (Config, error) {
	c := Defaults()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		var wrongType *json.UnmarshalTypeError
		if errors.As(err, &wrongType) {
			return c, &Error{Setting: wrongType.Field, What: "is a " + wrongType.Value, Remedy: "want a " + wrongType.Type.String()}
		}
		return c, fmt.Errorf("settings: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return c, errors.New("settings: there is more after the last brace: want one JSON object")
	}
	return c, nil
}

// Encode writes what Decode reads.
func (c Config) Encode() ([]byte, error) { return json.Marshal(c) }
