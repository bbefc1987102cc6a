package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/sluice-cdc/sluice/schema/debezium"
)

// writeTypes prints what becomes of each type of a source, as columns or as the table
// that README has.
func writeTypes(w io.Writer, markdown bool) error {
	if markdown {
		fmt.Fprint(w, "| source type | JSON | Avro | target | note |\n| --- | --- | --- | --- | --- |\n")
		for _, t := range debezium.Types() {
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", t.Source, t.JSON, t.Avro, t.Target, t.Note)
		}
		return nil
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "SOURCE TYPE\tJSON\tAVRO\tTARGET\tNOTE")
	for _, t := range debezium.Types() {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", t.Source, t.JSON, t.Avro, t.Target, strings.ReplaceAll(t.Note, "`", ""))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, `
A semantic name that is not listed, as custom converters make them, is read as its base
type and counted (sluice.columns.unknown). JSON without schema tells no type: see types in
the form of the tables file, sluice config.
`)
	return err
}
