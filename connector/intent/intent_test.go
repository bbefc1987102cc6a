package intent

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// recorded is what the first version wrote. Later versions must read it.
const recorded = `{"sluice":1,"topic":"q83vEjRWeJq83vEjRWeJqw","partitions":3,"tables":{"public_a":{"mark":7},` +
	`"public_b":{"mark":9,"job":"6f3a0e9e-0001-4a4b-8b7e-000000000001","part":1,"parts":2,"end":40,"bytes":8192}}}`

func TestParse(t *testing.T) {
	m, err := Parse(recorded)
	if err != nil {
		t.Fatal(err)
	}
	b := m.Tables["public_b"]
	if m.Partitions != 3 || m.Tables["public_a"] != (Entry{Mark: 7}) || b.Job != "6f3a0e9e-0001-4a4b-8b7e-000000000001" || b.Last() || b.End != 40 {
		t.Errorf("%+v", m)
	}
	if m.String() != recorded {
		t.Errorf("written again: %s", m)
	}
	for _, none := range []string{"", "sluice-b1f4cbd2-8a07-4f43-9e4c-1ba1a4b2a3d5", "consumer-group-1-b1f4cbd28a074f439e4c1ba1a4b2a3d5"} {
		if m, err := Parse(none); err != nil || len(m.Tables) > 0 {
			t.Errorf("%q: %v", none, err)
		}
	}
	for _, other := range []string{"mine", `{"offset":1}`, `{"sluice":4}`, `{"sluice":1,"more":1}`, recorded[:len(recorded)-1], "null",
		`{"sluice":1,"tables":{"a":{"job":"x"}}}`, `{"sluice":1,"tables":{"a":{"job":"x","part":2,"parts":1,"end":4}}}`, `{"sluice":1,"tables":{"a":{"mark":-1}}}`, `{"sluice":2,"tables":{"a":{"token":"x","mark":1}}}`, `{"sluice":3,"tables":{"a":{"of":2,"mark":1}}}`, `{"sluice":3,"tables":{"a":{"job":"x","part":1,"parts":1,"of":1,"end":4}}}`} {
		if _, err := Parse(other); err == nil {
			t.Errorf("%q passes for ours", other)
		}
	}
}

// TestLaterVersions: an earlier Sluice reads what has nothing of a later one, and refuses what
// it would lose.
func TestLaterVersions(t *testing.T) {
	for later, want := range map[string]Entry{
		`{"sluice":2,"tables":{"a":{"job":"x","token":"y","part":1,"parts":1,"end":4}}}`:        {Job: "x", Token: "y", Part: 1, Parts: 1, End: 4},
		`{"sluice":3,"tables":{"a":{"job":"x","part":1,"parts":1,"of":2,"end":4}}}`:             {Job: "x", Part: 1, Parts: 1, Of: 2, End: 4},
		`{"sluice":3,"tables":{"a":{"job":"x","token":"y","part":1,"parts":1,"of":2,"end":4}}}`: {Job: "x", Token: "y", Part: 1, Parts: 1, Of: 2, End: 4},
	} {
		m, err := Parse(later)
		if err != nil || m.Tables["a"] != want || m.String() != later {
			t.Errorf("%v %v", m, err)
		}
		if left := m.At(4).String(); left != `{"sluice":1}` {
			t.Errorf("when the job has been passed: %s", left)
		}
	}
}

// TestRoundTrip: what is written is read as it was, and an offset that has passed
// everything leaves nothing.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entry := rapid.Custom(func(t *rapid.T) Entry {
			e := Entry{Mark: rapid.Int64Range(0, 1<<60).Draw(t, "mark")}
			if rapid.Bool().Draw(t, "intent") || e.Mark == 0 {
				e.Parts = rapid.IntRange(1, 4).Draw(t, "parts")
				e.Part = rapid.IntRange(1, e.Parts).Draw(t, "part")
				if of := rapid.IntRange(1, 1000).Draw(t, "of"); of > 1 {
					e.Of = of
				}
				e.Token = rapid.SampledFrom([]string{"", "eyJ1IjoiIn0"}).Draw(t, "token")
				e.Job, e.End, e.Bytes = rapid.StringN(1, 40, -1).Draw(t, "job"), rapid.Int64Range(1, 1<<60).Draw(t, "end"), rapid.Int64Min(0).Draw(t, "bytes")
			}
			return e
		})
		m := Metadata{rapid.String().Draw(t, "topic"), rapid.Int32Min(0).Draw(t, "partitions"), rapid.String().Draw(t, "target"), rapid.MapOf(rapid.String(), entry).Draw(t, "tables")}
		got, err := Parse(m.String())
		if err != nil || got.Topic != m.Topic || got.Partitions != m.Partitions || !maps.Equal(got.Tables, m.Tables) {
			t.Fatalf("%v: %+v became %+v", err, m, got)
		}
		at := rapid.Int64Range(0, 1<<60).Draw(t, "at")
		for name, e := range m.Tables {
			kept := m.At(at).Tables[name]
			if max(kept.Mark, at) != max(e.Mark, at) || max(kept.End, at) != max(e.End, at) || (kept.Job != "") != (e.Job != "" && e.End > at) || kept.Job != "" && (kept.Token != e.Token || kept.Of != e.Of) {
				t.Fatalf("at %d %+v became %+v", at, e, kept)
			}
		}
		if len(m.At(1<<60).Tables) > 0 {
			t.Fatal("something is kept that has been passed")
		}
	})
}
