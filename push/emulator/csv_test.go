package emulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestCSV reads files by what their job declares, also where that is not what Sluice
// declares.
func TestCSV(t *testing.T) {
	const (
		plain  = `{}`
		german = `{"charSet":"utf-8","separatorSequence":";","quoteSequence":"'","escapeSequence":"\\","lineEnding":"\r\n","decimalSeparator":",","thousandSeparator":".",
			"dateFormat":"dd.MM.yyyy","additionalColumnOptions":[{"columnName":"AT","dateFormat":"yyyy-MM-dd'T'HH:mm:ss.SSSSSS"},{"columnName":"m","dateFormat":"HH:mm:ss.SSS"}]}`
		times = `{"dateFormat":"yyyy-MM-dd"}`
	)
	for _, tc := range []struct{ options, data, want string }{
		{plain, "id,s\n1,\n2,\"\"\n3, \\N \n4,\"a\"\"b\nc,\"", `1 NULL|2 ""|3 " \\N "|4 "a\"b\nc,"`},
		{plain, "id,b,f\n1,true,-1.5e3\n\n2,false,NaN\n", `1 true -1500|2 false NaN`},
		{german, "id;s;f;d;m;at\r\n1.000;'a\\'b\\\\c\r\n;\\x';1.234,5;24.12.2026;01:02:03.004;2026-12-24T01:02:03.000004\r\n",
			`1000 "a'b\\c\r\n;\\x" 1234.5 "2026-12-24" "01:02:03.004" "2026-12-24T01:02:03.000004"`},
		{times, "id,d\n1,2026-1-2\n", `line 2, column "d": "2026-1-2" is not a DATE of the form "yyyy-MM-dd"`},
		{times, "id,d\n1,\"\"\n", `"" is not a DATE`},
		{plain, "id,s\n1,a\n2\n", "line 3: 1 values under 2 columns"},
		{plain, "id,s\n1,\"a\n\nb\"\nx,a\n", `line 5, column "id": strconv.ParseInt`},
		{plain, "id,s\n1,\"a", "line 2: a quote that is not closed"},
		{plain, "id,s\n1,\"a\"b\n", "line 2: text behind a closing quote"},
		{plain, "id,s\n1,a\"b\n", "line 2: a quote in a value without quotes"},
		{plain, "id,b\n1,yes\n", `"yes" is neither true nor false`},
		{plain, "id,s\n1,\xff\n", "not UTF-8"},
		{plain, "id,ID\n", `column "ID" is there twice`},
		{plain, "\n", "no header line"},
		{`{"charSet":"ISO-8859-1"}`, "id\n", "this emulator reads UTF-8 only"},
	} {
		d := document{TableSchema: &tableTransport{}}
		for name, typ := range map[string]string{"id": "INTEGER", "s": "STRING", "f": "FLOAT", "b": "BOOLEAN", "d": "DATE", "m": "TIME", "at": "DATETIME"} {
			d.TableSchema.Columns = append(d.TableSchema.Columns, columnTransport{ColumnName: name, ColumnType: typ})
		}
		if err := json.Unmarshal([]byte(tc.options), &d.CSVParsingOptions); err != nil {
			t.Fatal(err)
		}
		got := ""
		if f, err := d.readCSV([]byte(tc.data)); err != nil {
			got = err.Error()
		} else {
			var rows []string
			for r := range f.rows {
				var row []string
				for _, c := range f.columns {
					switch v := c.values[r].(type) {
					case nil:
						row = append(row, "NULL")
					case string:
						row = append(row, fmt.Sprintf("%q", v))
					default:
						row = append(row, fmt.Sprint(v))
					}
				}
				rows = append(rows, strings.Join(row, " "))
			}
			got = strings.Join(rows, "|")
		}
		if got != tc.want && (!strings.Contains(got, tc.want) || strings.Contains(tc.want, "|")) {
			t.Errorf("%q:\n got %s\nwant %s", tc.data, got, tc.want)
		}
	}
}

// TestCSVUpload: a CSV chunk is refused in the platform's way.
func TestCSVUpload(t *testing.T) {
	c := caller{t, New(Options{})}
	rec := c.do("POST", "", "application/json", []byte(`{"type":"DELTA","fileType":"CSV","targetName":"t","dataPoolId":"pool","keys":["id"],"tableSchema":{"columns":[`+
		`{"columnName":"id","columnType":"INTEGER"},{"columnName":"s","columnType":"STRING"}]}}`))
	var job struct{ ID string }
	if err := json.Unmarshal(rec.Body.Bytes(), &job); err != nil {
		t.Fatal(err, rec.Body)
	}
	for _, tc := range []struct {
		kind, data string
		status     int
		want       string
	}{
		{"upserted", "id,s\n1,x\n", 200, "UPSERT"},
		{"deleted", "id\n2\n", 200, "DELETE"},
		{"upserted", "id\n1\n", 400, "1 columns where tableSchema declares 2"},
		{"upserted", "s\nx\n", 400, `Internal error while validating the CSV: key column \"id\" is not in the file`},
		{"deleted", "id,x\n2,3\n", 400, `column \"x\" is not in the job's tableSchema`},
		{"upserted", "PAR1", 400, "INVALID_CSV"},
	} {
		if rec := c.upload(job.ID, tc.kind, "file", []byte(tc.data)); rec.Code != tc.status || !strings.Contains(rec.Body.String(), tc.want) {
			t.Errorf("%q: %d %s, want %d %s", tc.data, rec.Code, rec.Body, tc.status, tc.want)
		}
	}
	if rec := c.do("POST", "", "application/json", []byte(`{"type":"DELTA","fileType":"XLSX","targetName":"t","dataPoolId":"pool"}`)); rec.Code != 400 {
		t.Errorf("XLSX: %d", rec.Code)
	}
}
