package celonis

import "strings"

// templateOf is the template of a request's URL, below the API's: in paths below the jobs, the id of one
// comes first.
func templateOf(path string) string {
	base := jobsPath("{poolId}")
	path, _, _ = strings.Cut(path, "?")
	if path == "" {
		return base
	}
	_, rest, found := strings.Cut(path, "/")
	if found {
		rest = "/" + rest
	}
	return base + "{id}" + rest
}
