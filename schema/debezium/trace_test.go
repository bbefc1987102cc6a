package debezium

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema"
)

func traceparent(n int) string { return fmt.Sprintf("00-%032x-%016x-01", n, n) }

// linked is the numbers of the traceparents that the runs of a decoder tell.
func linked(d *Decoder) (all []string) {
	for _, rows := range d.Take(nil) {
		for _, c := range rows.Traces.Contexts {
			all = append(all, strings.TrimLeft(hex.EncodeToString(c.TraceID[:]), "0")+strings.TrimSuffix("/"+c.State, "/"))
		}
	}
	return all
}

// TestTraceHeaders: the header is found in every case and form, the last one counts, and
// what is malformed is none.
func TestTraceHeaders(t *testing.T) {
	d := NewDecoder("p.public.t", testOptions())
	for i, headers := range [][]Header{
		{{"traceparent", []byte(traceparent(1))}},
		{{"Traceparent", []byte(traceparent(2))}, {"TRACESTATE", []byte("k=v")}},
		{{"traceparent", []byte(traceparent(99))}, {"traceparent", []byte(`"` + traceparent(3) + `"`)}, {"tracestate", []byte(`"a=b"`)}},
		{{"traceparent", []byte(traceparent(1))}}, // again
		{{"traceparent", []byte("00-1-2-01")}},
		{{"traceparent", nil}, {"tracestate", nil}},
		{{"b3", []byte("0")}},
		nil,
	} {
		if _, err := d.Decode(Record{Offset: int64(i), Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1}`)), Headers: headers}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := linked(d), []string{"1", "2/k=v", "3/a=b"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestTraceColumn: the context in a row is found in every form of record, though the
// column is left out of the table, behind a header, and not in a deleted row.
func TestTraceColumn(t *testing.T) {
	// As java.util.Properties.store writes it.
	text := "#\n#Sat Nov 28 13:37:00 UTC 2026\ntraceparent=" + traceparent(7) + "\ntracestate=k\\=v\\:\\u0077\n"
	for _, f := range allForms(t) {
		opt := testOptions()
		if f.opt != nil {
			f.opt(&opt)
		}
		opt.TraceColumn = "name" // which all of them have
		opt.Rule = func(_, source string) Rule {
			if source == "name" {
				return Rule{Action: Exclude}
			}
			return Rule{}
		}
		d := NewDecoder("p.public.t", opt)
		decode := func(op string, headers ...Header) {
			t.Helper()
			key, value := f.write(t, rowChange{op: op, id: 1, name: &text})
			if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(value), Headers: headers}); err != nil {
				t.Fatal(f.name, err)
			}
		}
		decode("d")
		if got := linked(d); len(got) > 0 {
			t.Errorf("%s: a delete is linked to %q", f.name, got)
		}
		decode("c")
		decode("u", Header{"traceparent", []byte(traceparent(8))})
		if got, want := linked(d), []string{"7/k=v:w", "8"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", f.name, got, want)
		}
	}
}

func TestTraceProperties(t *testing.T) {
	for text, want := range map[string]string{
		"traceparent=" + traceparent(1):                                "1",
		"  traceparent : " + traceparent(2) + "\r\ntracestate a=b\r\n": "2/a=b",
		"! traceparent=" + traceparent(3):                              "",
		"traceparent\\==" + traceparent(4):                             "",
		"traceparent=" + traceparent(5) + "\\":                         "",
		"traceparent":                                                  "",
		"\\":                                                           "",
		traceparent(6):                                                 "",
	} {
		d := NewDecoder("p.public.t", testOptions())
		value := event("c", "null", fmt.Sprintf(`{"id":1,"tracingspancontext":%q}`, text))
		if _, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(linked(d), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestTraceOfCloudEvent(t *testing.T) {
	d := NewDecoder("p.public.t", testOptions())
	value := strings.Replace(cloud("c", `{"after":{"id":1}}`), `"id":`, `"traceparent":"`+traceparent(9)+`","id":`, 1)
	if _, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
	if got := linked(d); !slices.Equal(got, []string{"9"}) {
		t.Error(got)
	}
}

// TestTraceAllocatesNothing: looking for contexts costs no memory where there is none, nor
// for those that are known or beyond what is kept.
func TestTraceAllocatesNothing(t *testing.T) {
	d := NewDecoder("p.public.t", testOptions())
	rec := Record{Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1}`)), Headers: []Header{{"h", []byte("v")}}}
	with := rec
	var headers [2 * schema.MaxTraces]Header
	for i := range headers {
		headers[i] = Header{"traceparent", []byte(traceparent(i + 1))}
	}
	decode := func(rec Record) {
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(err)
		}
	}
	once := func() {
		decode(rec)
		for i := range headers {
			with.Headers = headers[i : i+1]
			decode(with)
		}
		d.order[0].run.Truncate(0)
	}
	once()
	if n := testing.AllocsPerRun(10, once); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
