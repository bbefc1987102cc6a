package connector

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// writeOverlay writes for the go command what makes of the program one that has all mutants in
// it. Which one it is, SLUICE_MUTANT says when it runs: so it is built once, and not once for
// each. Its files are beside it.
func writeOverlay(path string, all []mutant) error {
	replace := map[string]string{}
	add := func(name, text string) error {
		replace[name] = filepath.Join(filepath.Dir(path), strings.ReplaceAll(name, string(filepath.Separator), "_"))
		return os.WriteFile(replace[name], []byte(text), 0o600)
	}
	byFile := map[string][]mutant{}
	for _, m := range all {
		byFile[m.file] = append(byFile[m.file], m)
	}
	for file, its := range byFile {
		name, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		pkg, mutated, err := mutate(string(text), its)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := add(name, mutated); err != nil {
			return err
		}
		which := fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar sluiceMutant = os.Getenv(\"SLUICE_MUTANT\")\n", pkg)
		if err := add(filepath.Join(filepath.Dir(name), "sluice_mutant.go"), which); err != nil {
			return err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(path, overlay, 0o600)
}

// mutate returns the package of a file, and the file with a copy of the function around each
// guard that lacks the guard. The function calls it in its place in that mutant. (A copy, not
// a branch: in a block of its own the function's first := would not set its results.)
func mutate(text string, all []mutant) (pkg, mutated string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
	if err != nil {
		return "", "", err
	}
	var copies strings.Builder
	calls := map[*ast.FuncDecl]string{}
	for i, m := range all {
		if n := strings.Count(text, m.old); n != 1 {
			return "", "", fmt.Errorf("the guard of %q stands %d times there; it was moved: point this test at it", m.name, n)
		}
		f := around(file, strings.Index(text, m.old), len(m.old))
		if f == nil {
			return "", "", fmt.Errorf("the guard of %q is not in a function", m.name)
		}
		name := fmt.Sprint(f.Name.Name, "Mutant", i)
		call, err := callOf(f, name)
		if err != nil {
			return "", "", err
		}
		calls[f] += fmt.Sprintf(" if sluiceMutant == %q { %s };", m.name, call)
		whole := text[f.Name.End()-1 : f.End()-1] // positions begin at 1
		fmt.Fprintf(&copies, "\n%s%s%s\n", text[f.Pos()-1:f.Name.Pos()-1], name, strings.Replace(whole, m.old, m.new, 1))
	}
	out := []byte(text)
	for _, d := range slices.Backward(file.Decls) {
		if f, ok := d.(*ast.FuncDecl); ok && calls[f] != "" {
			out = slices.Insert(out, int(f.Body.Lbrace), []byte(calls[f])...)
		}
	}
	return file.Name.Name, string(out) + copies.String(), nil
}

// around is the function whose body has these bytes.
func around(file *ast.File, at, n int) *ast.FuncDecl {
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil && int(f.Body.Lbrace) <= at && at+n < int(f.End()) {
			return f
		}
	}
	return nil
}

// callOf calls name, which has f's signature, from f's first line, and returns what it returns.
func callOf(f *ast.FuncDecl, name string) (string, error) {
	list, args := f.Type.Params.List, []string(nil)
	if f.Recv != nil {
		list = append(f.Recv.List, list...)
	}
	for _, p := range list {
		for _, n := range p.Names {
			args = append(args, n.Name)
		}
		if len(p.Names) == 0 || slices.Contains(args, "_") {
			return "", fmt.Errorf("%s of which there is a mutant: name its receiver and its parameters", f.Name.Name)
		}
		if _, variadic := p.Type.(*ast.Ellipsis); variadic {
			args[len(args)-1] += "..."
		}
	}
	if f.Recv != nil {
		name, args = args[0]+"."+name, args[1:]
	}
	call := fmt.Sprintf("%s(%s)", name, strings.Join(args, ", "))
	if f.Type.Results == nil {
		return call + "; return", nil
	}
	return "return " + call, nil
}
