package debezium

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
)

func ruled(rules map[string]Rule) Options {
	opt := testOptions()
	opt.Binary = BinaryDrop
	opt.HashKey = []byte("0123456789abcdef")
	opt.Rule = func(_, source string) Rule { return rules[source] }
	return opt
}

// Made with: printf %s TEXT | openssl dgst -sha256 -hmac 0123456789abcdef
var hashes = map[string]string{
	"a@b.c":                  "c8b9adc27ca0fc812e2cca09aab792e34c9d8d2fce3408abb47cb633bbb5e77f",
	"12":                     "b89b0f489c11f6c8448450cea2594c6c3bc93b8b3c79d1d0f957e3277053eedf",
	"true":                   "d3af9eb57408b54bafc0bcbfe2fd11d315c8c29753e669ef720860cd8286bb1c",
	"1.5":                    "b958a464661673f4121286aa5d8ccdf3af401064a819106b052046ba85d4f5e5",
	"2023-12-09":             "43b17da49fe22ae1c306b698d4815c6924ca3e129ecf84f14047485480a49fcf",
	"01:02:03.000001":        "6b470359a848988a77814974a957b92d68f804810d914e4d24e1a459394e2adb",
	"2023-11-14T22:13:20.5":  "53486e5357c9502646b99194c784c8e6bb50dc99eadeaa9ff5d5e5c477af61a3",
	"AAE=":                   "4faa7ebc74a5f703fee02f8308a9356aea3f6f685a98c36beb2cf3e8a43c3d69",
	"0.00000000000000000001": "695ef529b7a90656087e12a6422bea863a8ffd09891512ba9281a13a9c621520",
	strings.Repeat("x", 200): "60105f0d4de3e57e3556a40e7b481773e106a8ede593a753b66fae4999296ee1",
}

// TestRules: columns are left out without being looked at, hashed, and masked, the same
// in every form of record.
func TestRules(t *testing.T) {
	stars := "***"
	opt := ruled(map[string]Rule{"secret": {Action: Exclude}, "odd": {Action: Unlisted}, "id": {Action: Unlisted}, "email": {Action: Hash},
		"phone": {Action: Mask, Text: &stars}, "note": {Action: Mask}})
	row := func(id, email, phone string) string {
		return `{"id":` + id + `,"secret":"AAE=","odd":"x","email":` + email + `,"phone":` + phone + `,"note":"n"}`
	}
	want := "public_t(id*:INTEGER email:STRING phone:STRING note:STRING)\n" +
		`  0 upsert 7 "` + hashes["a@b.c"] + `" "***" NULL` + "\n  1 upsert 8 NULL NULL NULL\n  2 delete 7 NULL NULL NULL\n"
	// The excluded column is of a type that is not supported, where there is a schema, and
	// bytes that would be counted as dropped; the masked one never fits.
	fields := `{"type":"int32","field":"id"},{"type":"array","field":"odd","optional":true},{"type":"bytes","field":"secret","optional":true},` +
		`{"type":"string","field":"email","optional":true},{"type":"int8","field":"phone","optional":true},{"type":"map","field":"note","optional":true}`
	wrap := func(value string) string {
		return `{"schema":{"type":"struct","fields":[{"type":"struct","fields":[` + fields + `],"field":"before"},{"type":"struct","fields":[` + fields + `],"field":"after"}],"name":"p.public.t.Envelope"},"payload":` + value + `}`
	}
	for _, with := range []func(string) string{func(v string) string { return v }, wrap} {
		d := NewDecoder("p.public.t", opt)
		for i, m := range []message{
			{`{"id":7}`, event("c", "null", row("7", `"a@b.c"`, "123456"))},
			{`{"id":8}`, event("c", "null", row("8", "null", "null"))},
			{`{"id":7}`, event("d", row("7", `"a@b.c"`, "123456"), "null")},
		} {
			if _, err := d.Decode(Record{Offset: int64(i), Key: []byte(m.key), Value: []byte(with(m.value))}); err != nil {
				t.Fatal(i, err)
			}
		}
		if got := text(d.Take(nil)); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if d.Lost != (Lost{}) {
			t.Errorf("counted %+v", d.Lost)
		}
	}
}

// TestHashText: the text that is hashed is the value's own, whole, whatever the type and
// form; a key stays a key.
func TestHashText(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, tc := range []struct{ field, value, text string }{
		{"", `"a@b.c"`, "a@b.c"},
		{"", `12`, "12"},
		{"", `true`, "true"},
		{typed("int64", "", ""), `12`, "12"},
		{typed("string", "", ""), `"` + long + `"`, long},
		{typed("double", "", ""), `1.5`, "1.5"},
		{typed("boolean", "", ""), `true`, "true"},
		{typed("int32", "io.debezium.time.Date", ""), `19700`, "2023-12-09"},
		{typed("int64", "io.debezium.time.MicroTime", ""), `3723000001`, "01:02:03.000001"},
		{typed("int64", "io.debezium.time.Timestamp", ""), `1700000000500`, "2023-11-14T22:13:20.5"},
		{typed("bytes", "", ""), `"AAE="`, "AAE="},
		{typed("bytes", decimalName, `"scale":"20"`), `"AQ=="`, "0.00000000000000000001"},
	} {
		opt := ruled(map[string]Rule{"v": {Action: Hash}, "id": {Action: Hash}})
		opt.MaxLength = 100
		opt.Binary = BinaryBase64
		key, value := `{"id":"a@b.c"}`, event("c", "null", `{"id":"a@b.c","v":`+tc.value+`}`)
		if tc.field != "" {
			key, value = withSchema(tc.field, `"v":`+tc.value)
		}
		d := NewDecoder("p.public.t", opt)
		if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(value)}); err != nil {
			t.Errorf("%s: %v", tc.field, err)
			continue
		}
		run := d.Take(nil)[0]
		at := 1
		if run.Columns[0].Name == "v" {
			at = 0
		}
		if got := string(run.Values[at].Bytes(0)); got != hashes[tc.text] {
			t.Errorf("%s %s: %s, want %s", tc.field, tc.value, got, hashes[tc.text])
		}
		if typ := run.Columns[at].Type; typ.Length != 64 || typ.Inferred || d.Lost != (Lost{}) {
			t.Errorf("%s: %+v, lost %+v", tc.field, typ, d.Lost)
		}
		if id := 1 - at; tc.field == "" && string(run.Values[id].Bytes(0)) != hashes["a@b.c"] {
			t.Error("the key is not hashed")
		}
	}
}

// TestHashesOfOpenssl holds the table against the tool that made it, where it is.
func TestHashesOfOpenssl(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl")
	}
	for text, want := range hashes {
		cmd := exec.Command("openssl", "dgst", "-sha256", "-hmac", "0123456789abcdef")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), want) {
			t.Errorf("%.20s: %s, %v", text, out, err)
		}
	}
}

// TestRulesOfKeys: a key cannot be left out or masked; its table is held and told why.
func TestRulesOfKeys(t *testing.T) {
	for how, a := range map[string]Action{"excludeColumns": Exclude, "maskColumns": Mask} {
		for _, keys := range [][]string{nil, {"id"}} {
			opt := ruled(map[string]Rule{"id": {Action: a}})
			opt.Keys = func(string) []string { return keys }
			_, err := NewDecoder("p.public.t", opt).Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1}`))})
			if !ofTable(err) || !strings.Contains(said(err), `column "id" is of the key and under tables.public_t.`+how) {
				t.Errorf("%s: %v", how, said(err))
			}
		}
	}
}

// TestRulesOfAvro: the same rules for Avro, and the same hash.
func TestRulesOfAvro(t *testing.T) {
	stars := "***"
	r := newAvroRig(t, keySchema, avroEnvelope(`{"name":"id","type":"long"},{"name":"email","type":["null","string"]},{"name":"b","type":["null","bytes"]},{"name":"tags","type":["null",{"type":"array","items":"string"}]},{"name":"m","type":["null","long"]}`))
	opt := ruled(map[string]Rule{"id": {Action: Hash}, "email": {Action: Hash}, "b": {Action: Exclude}, "tags": {Action: Exclude}, "m": {Action: Mask, Text: &stars}})
	opt.Schema = r.options().Schema
	d := NewDecoder("p.public.t", opt)
	for i, email := range []any{goavro.Union("string", "a@b.c"), nil} {
		rec := r.record(t, 12, map[string]any{"before": nil, "after": goavro.Union("p.public.t.Value", map[string]any{"id": int64(12), "email": email,
			"b": goavro.Union("bytes", []byte{1}), "tags": goavro.Union("array", []any{"x"}), "m": goavro.Union("long", int64(5))}),
			"source": avroSource(), "transaction": nil, "op": "c", "ts_ms": nil})
		rec.Offset = int64(i)
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(err)
		}
	}
	want := "public_t(id*:STRING email:STRING m:STRING)\n" + `  0 upsert "` + hashes["12"] + `" "` + hashes["a@b.c"] + `" "***"` + "\n" +
		`  1 upsert "` + hashes["12"] + `" NULL "***"` + "\n"
	if got := text(d.Take(nil)); got != want || d.Lost != (Lost{}) {
		t.Errorf("counted %+v, got\n%swant\n%s", d.Lost, got, want)
	}
}

// TestRulesAllocateNothing: a hashed value costs time, and no memory a row.
func TestRulesAllocateNothing(t *testing.T) {
	stars := "***"
	d := NewDecoder("p.public.t", ruled(map[string]Rule{"h": {Action: Hash}, "m": {Action: Mask, Text: &stars}, "x": {Action: Exclude}}))
	rec := Record{Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1,"h":"a@b.c","m":"m","x":"x"}`))}
	allocatesNothing(t, d, rec)
}

// TestRulesOfUnavailable: what the source did not send is not hashed. A mask stands for
// it as for any value.
func TestRulesOfUnavailable(t *testing.T) {
	stars := "***"
	got := decodeAll(t, ruled(map[string]Rule{"h": {Action: Hash}, "m": {Action: Mask, Text: &stars}}),
		message{`{"id":1}`, event("u", "null", `{"id":1,"h":"__debezium_unavailable_value","m":"__debezium_unavailable_value"}`)})
	if want := "public_t(id*:INTEGER h:STRING m:STRING)\n  0 upsert 1 unavailable \"***\"\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
