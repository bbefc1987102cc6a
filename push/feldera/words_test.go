package feldera

import "testing"

// TestWords: what the pipeline says of a row is told without the row's values. The first
// three have the form of Feldera's own answers.
func TestWords(t *testing.T) {
	for _, tc := range []struct{ said, row, want string }{
		{"failed to parse JSON record: error parsing field 'v': invalid type: integer `4711`, expected a string at line 1 column 17", `{"id":2,"v":4711}`,
			"failed to parse JSON record: error parsing field …: invalid type: integer …, expected a string at line … column …"},
		{"invalid value: integer `300`, expected i8", `{"id":300}`, "invalid value: integer …, expected …"},
		{"missing field `name`", `{"id":1}`, "missing field …"},
		{"NULL in a column that is NOT NULL", `{"id":1,"v":null}`, "NULL in a column that is NOT NULL"},
		{`invalid date "12'34": premature end`, `{"d":"12'34"}`, "invalid date …: premature end"},
		{"cannot read hunter of Müller, née \u0301x", `{"a":{"b":["hunter","Müller\nnée"]},"c":"\u0301x"}`, "cannot read … of …, … …"},
		{"cannot read O'Brien", `{"a":"O'Brien"}`, "cannot read …'…"},
		{"1234.50 is not 12,34 \xff", `{"a":12345}`, "….… is not …,… \ufffd"},
		{"an array is wanted", `[{"insert":{}}]`, ""},
		{"invalid", ``, ""},
		{"", `{"id":1}`, ""},
	} {
		if got := (&rowError{Words: tc.said, Text: tc.row}).words(); got != tc.want {
			t.Errorf("%q is told as %q, want %q", tc.said, got, tc.want)
		}
	}
}
