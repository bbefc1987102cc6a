// Package protobuf reads Protocol Buffers' binary encoding
// (https://protobuf.dev/programming-guides/encoding/) under the schema that it was written
// with: Parse makes a File of a .proto text, Message.Split walks over bytes. Nothing is
// turned into maps or boxed values; what a value means is for the caller, who finds Kafka
// Connect's notes in Field.Params.
package protobuf

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// File is a parsed schema. It is never changed and may be used concurrently.
type File struct {
	Messages []*Message // as declared
}

// Message is a type of messages. One that holds itself makes a cycle.
type Message struct {
	Name     string // full name
	Fields   []Field
	Messages []*Message // declared inside

	wrapper bool          // of google/protobuf/wrappers.proto
	places  map[int32]int // in Fields, by number
}

// Field is a field of a message.
type Field struct {
	Name     string
	Number   int32
	Kind     protoreflect.Kind
	Message  *Message         // of kind MessageKind
	Symbols  map[int32]string // of kind EnumKind
	Repeated bool             // a list or map
	// Presence says that the bytes tell a field that is not there from one that is zero.
	Presence bool
	Params   map[string]string // of the option confluent.field_meta

	oneof int // fields of one number but 0 exclude each other
}

// Wrapped returns the field inside of google.protobuf.StringValue and its kin, and f
// itself where its type is none of them.
func (f *Field) Wrapped() *Field {
	if f.Message != nil && f.Message.wrapper {
		return &f.Message.Fields[0]
	}
	return f
}

// known are files that schemas import and registries do not have, for Confluent's
// serializers bring them along; those of google/protobuf are the compiler's own.
//
//go:embed known.proto
var known string

func knownFiles() map[string]string {
	files := map[string]string{}
	for _, part := range strings.Split(known, "// file: ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		files[name] = text
	}
	return files
}

// Parse parses a schema. references are the files that it may import, by the names
// under which it does.
func Parse(text string, references map[string]string) (*File, error) {
	const main = "the schema"
	files := knownFiles()
	for name, reference := range references {
		files[name] = reference
	}
	files[main] = text
	c := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
			text, ok := files[path]
			if !ok {
				return protocompile.SearchResult{}, fs.ErrNotExist
			}
			return protocompile.SearchResult{Source: strings.NewReader(text)}, nil
		})),
		MaxParallelism: 1,
	}
	compiled, err := c.Compile(context.Background(), main)
	if err != nil {
		return nil, fmt.Errorf("protobuf schema: %w", err)
	}
	p := parser{made: map[protoreflect.FullName]*Message{}}
	f := &File{Messages: p.messages(compiled[0].Messages())}
	if len(f.Messages) == 0 {
		return nil, errors.New("protobuf schema: no message in it")
	}
	return f, nil
}

type parser struct {
	made map[protoreflect.FullName]*Message
}

func (p *parser) messages(ds protoreflect.MessageDescriptors) (all []*Message) {
	for i := range ds.Len() {
		all = append(all, p.message(ds.Get(i)))
	}
	return all
}

func (p *parser) message(d protoreflect.MessageDescriptor) *Message {
	if m := p.made[d.FullName()]; m != nil {
		return m
	}
	m := &Message{Name: string(d.FullName()), places: map[int32]int{}}
	m.wrapper = d.ParentFile().Path() == "google/protobuf/wrappers.proto" && d.Fields().Len() == 1
	p.made[d.FullName()] = m // before its fields, which may be of it
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		f := Field{Name: string(fd.Name()), Number: int32(fd.Number()), Kind: fd.Kind(), Repeated: fd.Cardinality() == protoreflect.Repeated,
			Presence: fd.HasPresence(), Params: params(fd)}
		if one := fd.ContainingOneof(); one != nil && !one.IsSynthetic() { // synthetic: of proto3's optional
			f.oneof = one.Index() + 1
		}
		if fd.Message() != nil {
			f.Message = p.message(fd.Message())
		}
		if e := fd.Enum(); e != nil {
			f.Symbols = map[int32]string{}
			for j := range e.Values().Len() {
				v := e.Values().Get(j)
				if _, alias := f.Symbols[int32(v.Number())]; !alias {
					f.Symbols[int32(v.Number())] = string(v.Name())
				}
			}
		}
		m.places[f.Number] = i
		m.Fields = append(m.Fields, f)
	}
	m.Messages = p.messages(d.Messages())
	return m
}

// params reads the option in which Confluent's converter notes parameters of Connect.
func params(d protoreflect.FieldDescriptor) (all map[string]string) {
	d.Options().ProtoReflect().Range(func(option protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if option.FullName() != "confluent.field_meta" || option.Message() == nil {
			return true
		}
		field := option.Message().Fields().ByName("params")
		if field == nil || !field.IsMap() {
			return false
		}
		v.Message().Get(field).Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			if all == nil {
				all = map[string]string{}
			}
			all[k.String()] = v.String()
			return true
		})
		return false
	})
	return all
}
