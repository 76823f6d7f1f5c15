package ports

import (
	"fmt"
	"sync"
)

// Patches is where the patch ports of one process find each other. The agent
// owns one and gives it to every Open. The zero value is ready.
//
// Two patches are joined when each names the other as its peer, in whatever
// order they are opened; until then, and after either is closed, both are
// LINK_DOWN.
type Patches struct {
	mu   sync.Mutex
	ends map[string]*patch
}

// patch is one end of a cable between two bridges: a Pipe whose other end may
// come and go. peer of the Pipe changes only under reg.mu.
type patch struct {
	*Pipe
	reg  *Patches
	own  string // the name under which the peer looks for this end
	want string // the name of the peer
}

var (
	_ Port        = (*patch)(nil)
	_ AdminSetter = (*patch)(nil)
)

func openPatch(s Spec, o Options) (Port, error) {
	if o.Patches == nil {
		return nil, fmt.Errorf("a patch needs the registry in which bridges find each other (Options.Patches)")
	}
	p := &patch{newPipe(s.Name, KindPatch, s.MTU, o), o.Patches, s.Target, s.Arg("peer")}
	if err := o.Patches.join(p); err != nil {
		return nil, err
	}
	p.changed()
	return p, nil
}

// join registers p and connects it if its peer is already there.
func (ps *Patches) join(p *patch) error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.ends[p.own] != nil {
		return fmt.Errorf("there is already a patch:%s; each end has its own name", p.own)
	}
	if ps.ends == nil {
		ps.ends = make(map[string]*patch)
	}
	ps.ends[p.own] = p
	if q := ps.ends[p.want]; q != nil && q.want == p.own {
		p.peer.Store(q.Pipe)
		q.peer.Store(p.Pipe)
	}
	return nil
}

// Info implements Port: it also says what is missing.
func (p *patch) Info() Info {
	i := p.Pipe.Info()
	i.Device = p.want
	if i.Present || p.closed.Load() {
		return i
	}
	p.reg.mu.Lock()
	q := p.reg.ends[p.want]
	p.reg.mu.Unlock()
	if q == nil {
		i.Problem = fmt.Sprintf("its peer patch:%s is not there yet", p.want)
	} else {
		i.Problem = fmt.Sprintf("patch:%s names %s as its peer, not %s", p.want, q.want, p.own)
	}
	return i
}

// Close implements Port. The peer waits for the next patch of this name.
func (p *patch) Close() error {
	p.reg.mu.Lock()
	if p.reg.ends[p.own] == p {
		delete(p.reg.ends, p.own)
	}
	q := p.peer.Swap(nil)
	if q != nil {
		q.peer.Store(nil)
	}
	p.reg.mu.Unlock()
	if p.Pipe.Close() == nil && q != nil {
		q.o.changed()
	}
	return nil
}
