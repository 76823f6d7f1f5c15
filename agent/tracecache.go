// Slow path: which remembered path serves a traced frame, in words.

package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// cached tells of the path that workers remember for the frame, or of the one that they would remember.
func (w *traceWriter) cached(path *flowtable.CachedPath, tr *flowtable.Trace) {
	out := w.out
	if !slices.ContainsFunc(out.Steps, func(s TraceStep) bool { return s.Kind == "table" }) {
		out.Cache, out.Path, out.Workers = "none", "it does not come to the tables", 0
		return
	}
	busy := ""
	if n := len(w.sw.allWorkers) - out.Asked; n > 0 {
		busy = fmt.Sprintf("; %s at work, not asked", Plural(n, "worker"))
	}
	out.Kept = tr.Path != nil
	if path != nil {
		w.remembered(path, busy)
		out.PathFor = framesOf(path)
		out.Path = "which serves " + out.PathFor
		return
	}
	out.Cache = "none: the tables are asked" + busy
	if out.Kept {
		out.PathFor = framesOf(tr.Path)
		out.Path = "and its path is kept, for " + out.PathFor
		return
	}
	out.Path = "and no path is kept: a meter or an action ended its way"
	if slices.ContainsFunc(out.Steps, func(s TraceStep) bool { return strings.HasPrefix(s.Action, "resubmit") }) {
		out.Path = "and no path is kept: a resubmit looks up anew for each frame"
	}
}

// remembered tells the entries of a path.
func (w *traceWriter) remembered(path *flowtable.CachedPath, busy string) {
	text := ""
	for _, e := range path.Entries {
		w.out.Cached = append(w.out.Cached, int(e.Table))
		text += fmt.Sprintf(", table %d %s", e.Table, entryText(e))
	}
	if path.Miss {
		text += ", then a table miss"
	}
	if path.Resumes >= 0 {
		text += fmt.Sprintf(", then table %d is asked anew", path.Resumes)
	}
	w.out.Cache = fmt.Sprintf("%d of %s: %s%s", w.out.Workers, Plural(len(w.sw.allWorkers), "worker"), text[min(2, len(text)):], busy)
}

// framesOf says which frames a path serves.
func framesOf(path *flowtable.CachedPath) string {
	text := "every frame"
	if m := ofctl.Match(path.Rests); m != "" {
		text += " with " + m
	}
	if path.Shape {
		text += " that has the same headers"
	}
	return text
}
