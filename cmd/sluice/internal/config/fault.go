package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// wanted is the error of a value that is not among those which the words tell.
type wanted struct{ value, words string }

func (w *wanted) Error() string {
	return fmt.Sprintf("%.60q: want %s", strings.Join(strings.Fields(w.value), " "), w.words)
}

// tableFaults returns what is wrong with the values of a tables file that cannot be read, each
// by its table and field: an error of the library has the line at best, and one of a type of
// ours or a duration not even that. nil: the fault is elsewhere.
func tableFaults(text []byte) error {
	var file struct {
		Tables map[string]map[string]yaml.RawMessage `yaml:"tables"`
	}
	if yaml.Unmarshal(text, &file) != nil {
		return nil
	}
	var all []error
	for _, name := range keysOf(file.Tables) {
		for _, f := range reflect.VisibleFields(reflect.TypeFor[Table]()) {
			if raw, set := file.Tables[name][f.Tag.Get("yaml")]; set && f.IsExported() {
				all = append(all, fault("tables."+name+"."+f.Tag.Get("yaml"), raw, f.Type))
			}
		}
	}
	return errors.Join(all...)
}

// fault says what is wrong with the value at a path, nil if nothing is.
func fault(path string, raw yaml.RawMessage, of reflect.Type) error {
	if of.Kind() == reflect.Pointer { // nil is null, which is one of its values
		of = of.Elem()
	}
	err := yaml.Unmarshal(raw, reflect.New(of).Interface())
	if err == nil {
		return nil
	}
	var entries map[string]yaml.RawMessage
	if of.Kind() == reflect.Map && yaml.Unmarshal(raw, &entries) == nil {
		var all []error
		for _, key := range keysOf(entries) {
			all = append(all, fault(path+"."+key, entries[key], of.Elem()))
		}
		return errors.Join(all...)
	}
	if own := yaml.Error(nil); of == reflect.TypeFor[time.Duration]() || errors.As(err, &own) {
		value := string(raw)
		yaml.Unmarshal(raw, &value) // without quotes; of a list it leaves the text
		err = &wanted{value, wantedOf(of)}
	}
	return fmt.Errorf("%s: %w", path, err)
}

// wantedOf says what a field takes that has no words of its own.
func wantedOf(of reflect.Type) string {
	switch {
	case of.Kind() == reflect.Map, of == reflect.TypeFor[Metadata]():
		return "names with a value each, such as {a: b}"
	case of.Kind() == reflect.Slice:
		return "a list such as [a, b]"
	}
	return accepted(leaf{value: reflect.Zero(of)})
}

// each returns the errors that were joined to one.
func each(err error) (all []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, one := range joined.Unwrap() {
		all = append(all, each(one)...)
	}
	return all
}
