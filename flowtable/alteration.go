// Miss path: what was altered in the tables of late, and which paths outlive it.

package flowtable

// alteration is a change of the tables that may turn frames away from the path they took.
type alteration struct {
	e     *Entry // that came, or went
	meter int32  // or the slot of a meter that is another now
	came  bool
}

// alterations is the writer's log. Guarded by Pipeline.mu.
type alterations struct {
	list  []alteration // the last of all, the newest at the end
	last  uint64       // number of the newest, from 1
	shown uint64       // last, as last published
}

// maxRecent is how many alterations a snapshot tells of. After more than that no path is known to hold.
const maxRecent = 512

// note enters an alteration. What a snapshot shows is never written again.
func (a *alterations) note(x alteration) {
	if a.last++; a.last-a.shown > maxRecent {
		a.list = nil // no path outlives so many at once
		return
	}
	if len(a.list) == cap(a.list) {
		keep := a.list[max(0, len(a.list)-maxRecent):]
		a.list = append(make([]alteration, 0, 4*maxRecent), keep...)
	}
	a.list = append(a.list, x)
}

// flood enters more than anybody would go through: everything may be another.
func (a *alterations) flood() { a.list, a.last = nil, a.last+floodOfChanges+1 }

// freeze gives a snapshot its part of the log.
func (a *alterations) freeze(s *snapshot) {
	a.shown = a.last
	from := max(0, len(a.list)-maxRecent)
	s.recent, s.last = a.list[from:len(a.list):len(a.list)], a.last
}

// news is an alteration that may touch paths of a claim.
type news struct {
	number uint32 // the cache's clock when it became known
	alteration
}

// maxNews is how many of them a claim keeps. A path that has missed more is made anew, which costs about as much as
// going through so many.
const maxNews = 128

// tell notes an alteration for the paths of a claim.
func (cl *claim) tell(n news) {
	if len(cl.news) == maxNews {
		const kept = maxNews / 2
		cl.since = cl.news[maxNews-kept-1].number
		copy(cl.news, cl.news[maxNews-kept:])
		clear(cl.news[kept:])
		cl.news = cl.news[:kept]
	}
	cl.news, cl.touched = append(cl.news, n), n.number
}

// alive reports whether a path is still what its frames undergo, and remembers it.
func (c *cache) alive(p *path) bool {
	cl := c.numbered[p.claim]
	if p.seen >= cl.touched {
		return true
	}
	if p.seen < cl.since {
		return false
	}
	for i := len(cl.news) - 1; i >= 0 && cl.news[i].number > p.seen; i-- {
		if !p.outlives(cl, &cl.news[i].alteration) {
			return false
		}
	}
	p.seen = c.clock
	return true
}

// outlives reports whether the path is the same after an alteration. When in doubt it is not.
func (p *path) outlives(cl *claim, a *alteration) bool {
	steps := p.steps()
	switch {
	case a.e == nil:
		for i := range steps {
			if steps[i].prog.meter == a.meter {
				return false
			}
		}
		return true
	case !a.came:
		for i := range steps {
			if steps[i].e == a.e {
				return false
			}
		}
		return true
	}
	return !p.mayMeet(cl, a.e)
}

// mayMeet reports whether some frame on the path might meet an entry that came. The header decides most
// cases; entries are only looked at when it does not, for they are far away.
func (p *path) mayMeet(cl *claim, e *Entry) bool {
	agrees, plain, steps := p.agrees(cl, e), p.plain(), p.steps()
	if !agrees && plain > len(steps) {
		return false
	}
	for i := range steps {
		if s := steps[i].e; s.Table == e.Table {
			return e.Priority >= s.Priority && (agrees || i >= plain)
		}
	}
	return p.miss() == e.Table && (agrees || len(steps) >= plain)
}

// agrees reports whether a frame of this path can match e before its header is changed, as far as is known:
// nothing is known of the fields of the pipeline.
func (p *path) agrees(cl *claim, e *Entry) bool {
	for j := range e.rule.Words() {
		at, bits, key := e.rule.Word(j)
		if at >= headerWords {
			return true
		}
		if k := cl.place[at]; k >= 0 && (*p.word(int(k))^key)&bits&cl.words[k].bits != 0 {
			return false
		}
	}
	return true
}
