// Package intent is what Sluice writes beside each committed offset: per table, how far
// its rows have arrived, and the job that carries the next of them. Kafka keeps it as
// the offset's metadata, a string, under the group's fencing
// (https://kafka.apache.org/protocol.html#The_Messages_OffsetCommit), so it serves as a
// write-ahead record that needs no other store.
package intent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
)

// version is that of the form below, which reads the earlier ones. Text says the first that
// has all that is in it, so that an earlier Sluice reads what it can.
const (
	version      = 3
	beforeOf     = 2
	beforeTokens = 1
)

// Metadata is what one partition's committed offset carries.
type Metadata struct {
	// Topic is the topic's id (KIP-516), "" if not known: a topic that was deleted and
	// made anew under its name has another.
	Topic string
	// Partitions is of how many partitions of the topic, from 0 on, the group is known to
	// have offsets. One that has none although it is among them has lost them.
	Partitions int32
	// Target names the state of a target that can forget: what has arrived is there, and not
	// under another name. "": it cannot.
	Target string
	Tables map[string]Entry // by target table
}

// Entry is a table's share of a partition. The range of its intent begins where the
// mark or the committed offset is, whichever is later.
type Entry struct {
	// Mark says that the table's rows before this offset have arrived; 0 says nothing.
	Mark int64 `json:"mark,omitempty"`
	// Job is the id of the job that carries the rows from there to End, "" if there is
	// none: part Part of Parts.
	Job string `json:"job,omitempty"`
	// Token is what the target answered to its execution, where the id alone does not find
	// the job; "": it has not answered yet, or needs none.
	Token string `json:"token,omitempty"`
	Part  int    `json:"part,omitempty"`
	Parts int    `json:"parts,omitempty"`
	// Of is beside how many partitions' offsets the job is noted, if that is more than one. The
	// group takes them in one commit, of which it may refuse some: a job that stands beside
	// fewer, and is NEW, was not executed by who made it. 0: one, or an earlier version.
	Of  int   `json:"of,omitempty"`
	End int64 `json:"end,omitempty"`
	// Bytes is what the batch held in memory, over all its partitions.
	Bytes int64 `json:"bytes,omitempty"`
}

// Last reports whether the job's DONE delivers the batch.
func (e Entry) Last() bool { return e.Job != "" && e.Part == e.Parts }

type document struct {
	Sluice     int              `json:"sluice"`
	Topic      string           `json:"topic,omitempty"`
	Partitions int32            `json:"partitions,omitempty"`
	Target     string           `json:"target,omitempty"`
	Tables     map[string]Entry `json:"tables,omitempty"`
}

// String is the metadata's form; equal metadata have equal strings.
func (m Metadata) String() string {
	v := beforeTokens
	for _, e := range m.Tables {
		switch {
		case e.Of != 0:
			v = version
		case e.Token != "":
			v = max(v, beforeOf)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(document{v, m.Topic, m.Partitions, m.Target, m.Tables}) // of numbers and strings only
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}

// byDefault is what Kafka's clients write where their user gives nothing: a member id,
// which is a client id and a UUID.
var byDefault = regexp.MustCompile(`^.+-[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)

// Parse reads metadata. What a client library writes by default is as good as none. The
// error is of text that Sluice did not write, or that a later version did: it must not
// be overwritten, for nobody knows what it stands for.
func Parse(s string) (Metadata, error) {
	if s == "" || byDefault.MatchString(s) {
		return Metadata{}, nil
	}
	var v struct {
		Sluice int `json:"sluice"`
	}
	if err := json.Unmarshal([]byte(s), &v); err != nil || v.Sluice == 0 {
		return Metadata{}, fmt.Errorf("the group's committed offset carries metadata that Sluice did not write: %.80q", s)
	}
	if v.Sluice > version {
		return Metadata{}, fmt.Errorf("the group's committed offset carries metadata of version %d, and this Sluice reads up to %d", v.Sluice, version)
	}
	var d document
	dec := json.NewDecoder(bytes.NewReader([]byte(s)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return Metadata{}, fmt.Errorf("the group's committed offset carries metadata that cannot be read: %w: %.80q", err, s)
	}
	for t, e := range d.Tables {
		if e.Mark < 0 || e.End < 0 || (e.Job == "") != (e.Parts == 0) || e.Job == "" && (e.Token != "" || e.Of != 0) || e.Of < 0 || e.Of == 1 || e.Part > e.Parts || e.Job != "" && (e.Part < 1 || e.End < 1) {
			return Metadata{}, fmt.Errorf("the group's committed offset carries metadata that cannot be: table %s %+v", t, e)
		}
	}
	return Metadata{d.Topic, d.Partitions, d.Target, d.Tables}, nil
}

// At returns the metadata as it is to stand beside an offset: what that has passed is
// left out.
func (m Metadata) At(offset int64) Metadata {
	kept := map[string]Entry{}
	for t, e := range m.Tables {
		if e.End <= offset {
			e = Entry{Mark: e.Mark}
		}
		if e.Mark <= offset {
			e.Mark = 0
		}
		if e != (Entry{}) {
			kept[t] = e
		}
	}
	m.Tables = kept
	return m
}
