package oracle

import "slices"

// shrink gives the smallest life it can find for which differs still says yes: it leaves out runs of
// steps, then single steps, then parts of steps, until nothing more can go. It does not slide into a
// known deviation. tries bounds the work.
func shrink(l *life, tries int, differs func(*life) bool) *life {
	try := func(steps []step) bool {
		if tries <= 0 {
			return false
		}
		tries--
		n := &life{steps, l.ports}
		if known(n) != "" || !differs(n) {
			return false
		}
		l = n
		return true
	}
	for n := len(l.steps) / 2; n >= 1; n /= 2 {
		for at := len(l.steps) - n; at >= 0; at -= n {
			if at+n <= len(l.steps) {
				try(slices.Delete(slices.Clone(l.steps), at, at+n))
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for at := len(l.steps) - 1; at >= 0; at-- {
			if at < len(l.steps) && try(slices.Delete(slices.Clone(l.steps), at, at+1)) {
				changed = true
			}
		}
		for at := range l.steps {
			for again := true; again; {
				again = false
				for _, s := range l.steps[at].smaller() {
					steps := slices.Clone(l.steps)
					steps[at] = s
					if try(steps) {
						changed, again = true, true
						break
					}
				}
			}
		}
	}
	return l
}
