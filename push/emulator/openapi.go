package emulator

import _ "embed"

// OpenAPI describes the calls that the emulator serves and Sluice makes, and
// lists where it departs from the vendor's document.
//
//go:embed openapi.yaml
var OpenAPI []byte
