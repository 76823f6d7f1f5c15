package openflow

import "testing"

// TestEveryErrorHasAMeaning: no code of the specification leaves a person alone.
func TestEveryErrorHasAMeaning(t *testing.T) {
	n := 0
	for typ := range errorNames {
		for code := range errorNames[typ].codes {
			e := &Error{Type: ErrorType(typ), Code: uint16(code)}
			if what, mend := e.Meaning(); what == "" || mend == "" {
				t.Errorf("%s: %q, %q", e.CodeName(), what, mend)
			}
			n++
		}
		if got, want := len(errorMeanings[typ]), len(errorNames[typ].codes); got != want {
			t.Errorf("%s: %d meanings of %d codes", errorNames[typ].name, got, want)
		}
	}
	if n < 100 {
		t.Errorf("%d codes seen", n)
	}
	if what, _ := (&Error{Type: ErrExperimenter, Experimenter: ExperimenterONF, Code: ONFDuplicateInstruction}).Meaning(); what == "" {
		t.Error("no meaning for a duplicate instruction")
	}
	for _, e := range []*Error{{Type: 99}, {Type: ErrBadMatch, Code: 99}, {Type: ErrExperimenter, Experimenter: 1}} {
		if what, mend := e.Meaning(); what != "" || mend != "" {
			t.Errorf("%v has the meaning %q, %q", e, what, mend)
		}
	}
}
