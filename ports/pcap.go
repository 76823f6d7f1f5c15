package ports

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
)

// pcapFile is a port whose two directions are files: it plays a capture into
// the switch and records what leaves it. Either may be missing.
//
// What the file holds is what enters: packets that were cut when they were
// captured enter cut. When the file is over, the port stays and records on.
// When the file turns out to be damaged, everything before the damage has
// entered, and the port goes LINK_DOWN and says where the damage is.
type pcapFile struct {
	name string
	mtu  int // 0 = no limit
	o    Options
	done chan struct{} // closed by Close

	play *replay // owned by the reader; nil: nothing to play

	mu     sync.Mutex
	record *recorder // nil: nothing is recorded
	closed bool
	broken error // why the port is LINK_DOWN
}

var _ Port = (*pcapFile)(nil)

// Plays is the capture that a port of kind pcap reads; empty: it only records, or is a live device.
func (s *Spec) Plays() string {
	if s.Kind != KindPcap || !isCapture(s.Target, fileExists) {
		return ""
	}
	return s.Target
}

func openPcap(s Spec, o Options) (Port, error) {
	if !isCapture(s.Target, fileExists) {
		if len(s.Args) > 0 {
			return nil, fmt.Errorf("%s is no capture file, and a live device has no option %q", s.Target, s.Args[0].Key)
		}
		return openPcapLive(s, o)
	}
	p := &pcapFile{name: s.Name, mtu: s.MTU, o: o, done: make(chan struct{})}
	if s.Target != "" {
		play, err := newReplay(s.Target, s.Arg("rate"), s.Arg("loop"))
		if err != nil {
			return nil, err
		}
		p.play = play
	}
	if out := s.Arg("out"); out != "" {
		if p.play != nil && sameFile(s.Target, out) {
			p.play.close()
			return nil, fmt.Errorf("%s and %s are the same file; record into another", s.Target, out)
		}
		record, err := newRecorder(out, s.Name, s.MTU, p.recordFailed)
		if err != nil {
			p.play.close()
			return nil, err
		}
		p.record = record
	}
	return p, nil
}

func fileExists(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && !fi.IsDir()
}

func sameFile(a, b string) bool {
	fa, erra := os.Stat(a)
	fb, errb := os.Stat(b)
	return erra == nil && errb == nil && os.SameFile(fa, fb)
}

// Wait implements Port: it returns when the next packet's time has come.
func (p *pcapFile) Wait() error {
	for {
		select {
		case <-p.done:
			return ErrClosed
		default:
		}
		pause, more := p.peek()
		if !more {
			<-p.done // nothing will ever come
			return ErrClosed
		}
		if pause <= 0 {
			return nil
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-p.done:
			t.Stop()
			return ErrClosed
		}
	}
}

// peek says how long it is until the next packet, and whether there is one.
func (p *pcapFile) peek() (pause time.Duration, more bool) {
	if p.play == nil {
		return 0, false
	}
	pause, more, err := p.play.peek(time.Now)
	if err != nil {
		p.o.Counters.RxErrors.Add(1)
		p.o.Counters.DropRx(DropMalformed, 1)
		p.fail(err)
	}
	return pause, more
}

// mostLooked is how many packets one Read looks at: a file that is played for
// ever may hold none that is of use.
const mostLooked = 1024

// Read implements Port: it gives the packets whose time has come. That the
// switch asks is the back-pressure of rate=fast.
func (p *pcapFile) Read(frames []*packet.Frame) (int, error) {
	select {
	case <-p.done:
		return 0, ErrClosed
	default:
	}
	n, size := 0, 0
	for looked := 0; n < len(frames) && looked < mostLooked; looked++ {
		pause, more := p.peek()
		if !more || pause > 0 {
			break
		}
		b := p.play.take()
		room := frames[n].Room()
		switch {
		case len(b) < minFrame:
			p.o.Counters.DropRx(DropTruncated, 1)
		case !fits(b, p.mtu):
			p.o.Counters.DropRx(DropTooBig, 1)
		case len(b) > len(room):
			p.o.Counters.DropRx(DropNoRoom, 1)
		default:
			frames[n].SetLen(copy(room, b))
			size += len(b)
			n++
		}
	}
	p.o.Counters.CountRx(n, size)
	return n, nil
}

// Write implements Port: frames are recorded finished and in segments, as they
// would be seen on a cable.
func (p *pcapFile) Write(frames []*packet.Frame) int {
	p.mu.Lock()
	record := p.record
	if p.closed || p.broken != nil {
		record = nil
	}
	p.mu.Unlock()
	if record == nil {
		p.o.Counters.DropTx(DropLinkDown, len(frames))
		return 0
	}
	return record.write(frames, p.o.Counters)
}

// fail puts the port down for good.
func (p *pcapFile) fail(err error) {
	p.mu.Lock()
	first := p.broken == nil && !p.closed
	if first {
		p.broken = err
	}
	p.mu.Unlock()
	if first {
		p.o.changed()
	}
}

func (p *pcapFile) recordFailed(err error) {
	p.o.Counters.TxErrors.Add(1)
	p.fail(err)
}

// Info implements Port.
func (p *pcapFile) Info() Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := Info{Name: p.name, Kind: KindPcap, MTU: p.mtu, Duplex: DuplexFull, Present: !p.closed, AdminUp: true}
	i.LinkUp = i.Present && p.broken == nil
	if p.broken != nil {
		i.Problem = p.broken.Error()
	}
	if p.play != nil {
		i.Device = p.play.path
	}
	if p.record != nil {
		i.Device += " > " + p.record.path
	}
	return i
}

// Close implements Port: the recording is complete when it returns without error.
func (p *pcapFile) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	record := p.record
	p.mu.Unlock()
	close(p.done)
	p.play.close()
	p.o.changed()
	if record != nil {
		return record.close()
	}
	return nil
}

// replay plays a file in order, once or several times. But for close it
// belongs to one goroutine.
type replay struct {
	path  string
	fast  bool          // without regard to time
	every time.Duration // 0 = the file's own timing
	left  int           // rounds still to play, with this one; negative = for ever

	mu     sync.Mutex
	file   *os.File // guarded by mu; nil: closed
	cap    *capture
	next   []byte        // the packet to come; nil: none read yet
	due    time.Duration // when, since began
	began  time.Time     // when this round's first packet was due
	first  time.Time     // that packet's time in the file
	played int           // packets of this round
	over   bool
}

func newReplay(path, rate, loop string) (*replay, error) {
	r := &replay{path: path, left: 1, fast: rate == "fast"}
	if n, err := strconv.Atoi(rate); err == nil && n > 0 {
		r.every = time.Second / time.Duration(n)
		r.fast = r.every == 0
	}
	if loop == "forever" {
		r.left = -1
	} else if n, err := strconv.Atoi(loop); err == nil {
		r.left = n
	}
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file; write the capture into one first", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r.file = file
	if err := r.rewind(); err != nil {
		file.Close()
		return nil, err
	}
	return r, nil
}

// rewind begins a round.
func (r *replay) rewind() error {
	if _, err := r.file.Seek(0, 0); err != nil {
		return err
	}
	c, err := newCapture(filepath.Base(r.path), r.file)
	r.cap, r.played, r.next = c, 0, nil
	return err
}

func (r *replay) close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
	r.over = true
}

// peek makes sure that a packet is at hand and says how long it still has to
// wait. An error ends the play; it is given once.
func (r *replay) peek(now func() time.Time) (pause time.Duration, more bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return 0, false, nil
	}
	if r.next == nil {
		if err = r.load(now); err != nil || r.over {
			r.over = true
			return 0, false, err
		}
	}
	if r.fast {
		return 0, true, nil
	}
	return r.due - now().Sub(r.began), true, nil
}

// take gives the packet that peek announced, valid until the next peek.
func (r *replay) take() []byte {
	b := r.next
	r.next = nil
	return b
}

// load reads the next packet, of the next round if this one is over. A round
// without any packet is the last, or looping would never end.
func (r *replay) load(now func() time.Time) error {
	for {
		b, at, err := r.cap.next()
		if err == nil {
			r.next = b
			r.schedule(at, now)
			return nil
		}
		if err != io.EOF {
			return err
		}
		if r.left > 0 {
			r.left--
		}
		if r.left == 0 || r.played == 0 {
			r.over = true
			return nil
		}
		if err := r.rewind(); err != nil {
			return err
		}
	}
}

// schedule says when a packet is due. Packets without a time (pcapng's simple
// packets) and those that go back in time follow at once.
func (r *replay) schedule(at time.Time, now func() time.Time) {
	if r.played == 0 {
		r.began, r.first, r.due = now(), at, 0
	}
	switch {
	case r.every > 0:
		r.due = time.Duration(r.played) * r.every
	case !at.IsZero():
		r.due = max(r.due, at.Sub(r.first))
	}
	r.played++
}
