package integration

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/ports"
)

// cardEnd is the other end of a guest's card. What it sends is made from numbers, so that each frame can be told from all
// others, and be made again to compare it.
type cardEnd struct {
	port   ports.Port
	index  byte
	other  *cardEnd // where weir sends what this end sends
	load   uint32   // frames sent by flood; its caller's
	came   chan []byte
	loaded atomic.Uint64 // frames of the other's flood that came
	latest atomic.Uint32 // number of the last of them
	wrong  atomic.Pointer[error]
	hold   sync.Mutex // held: nothing is taken
}

// loadMark is in the numbers of frames that flood sends: only their number and contents count.
const (
	loadMark = 1 << 31
	loadSize = 100
)

func newCardEnd(t *testing.T, index byte, path string) *cardEnd {
	t.Helper()
	spec, err := ports.ParseSpec(fmt.Sprintf("wire:unix,listen=%s,name=w%d,mtu=3500", path, index))
	if err != nil {
		t.Fatal(err)
	}
	e := &cardEnd{index: index, came: make(chan []byte, 1024)}
	if e.port, err = ports.Open(spec, ports.Options{}); err != nil {
		t.Fatal(err)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		e.read(done)
	}()
	t.Cleanup(func() {
		close(done)
		e.port.Close()
		<-ended
	})
	return e
}

func (e *cardEnd) read(done chan struct{}) {
	frames := make([]*packet.Frame, 64)
	for i := range frames {
		frames[i] = packet.NewFrame(4000)
	}
	for e.port.Wait() == nil {
		e.hold.Lock()
		n, err := e.port.Read(frames)
		e.hold.Unlock()
		if err != nil {
			return
		}
		for _, f := range frames[:n] {
			b := f.Bytes()
			if !bytes.Equal(b[:6], e.mac()) { // the guest's own stack speaks, too
				continue
			}
			if number := numberOf(b); number&loadMark == 0 || isARP(b) {
				select {
				case e.came <- bytes.Clone(b):
				case <-done:
					return
				}
			} else if err := equalFrames(b, e.other.make(number, loadSize)); err != nil {
				e.wrong.Store(&err)
			} else {
				e.loaded.Add(1)
				e.latest.Store(number)
			}
		}
	}
}

func (e *cardEnd) mac() []byte { return []byte{2, 0xee, 0, 0, 0, e.index} }

// numberOf is where make puts it; longer than any tag goes.
func numberOf(b []byte) uint32 {
	if len(b) < 24 {
		return 0
	}
	return binary.BigEndian.Uint32(b[18:])
}

// make is the frame of a number. One in four has a tag and is that much longer.
func (e *cardEnd) make(number uint32, size int) []byte {
	tagged := number%4 == 3
	if tagged {
		size += 4
	}
	b := make([]byte, max(size, 24))
	r := rand.NewPCG(uint64(number), uint64(e.index))
	for i := 0; i < len(b); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], r.Uint64())
		copy(b[i:], word[:])
	}
	copy(b, e.other.mac())
	copy(b[6:], e.mac())
	copy(b[12:], []byte{0x88, 0xb5})
	if tagged {
		copy(b[12:], []byte{0x81, 0, 0x60, 5, 0x88, 0xb5})
	}
	binary.BigEndian.PutUint32(b[18:], number)
	return b[:size]
}

func isARP(b []byte) bool { return b[12] == 8 && b[13] == 6 }

func equalFrames(got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("\n got %d bytes %x\nwant %d bytes %x", len(got), got, len(want), want)
}

func (e *cardEnd) send(b []byte) {
	f := packet.NewFrame(len(b))
	f.SetBytes(b)
	for e.port.Write([]*packet.Frame{f}) != 1 { // the wire is full
		time.Sleep(time.Millisecond)
	}
}

// flood sends frames of which only the number is watched.
func (e *cardEnd) flood(n int) {
	for range n {
		e.send(e.make(loadMark|e.load, loadSize))
		e.load++
	}
}

// drained sends one more frame of a flood and says whether it comes, behind all that were under way.
func (e *cardEnd) drained() error {
	mark := loadMark | e.load
	e.flood(1)
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if e.other.latest.Load() == mark {
			return nil
		}
	}
	return fmt.Errorf("of end %d, %#x does not come", e.index, mark)
}

// pass sends n frames of sizes between least and most, at most window at a time, and demands each at the other end, in order. Frames
// shorter than a wire takes come with zeros behind them where they were not copied. It says how many bytes it sent.
func (e *cardEnd) pass(first uint32, n, window, least, most int) (sent uint64, err error) {
	size := func(i int) int { return least + i%(most-least+1) }
	given := 0
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for came := 0; came < n; came++ {
		for ; given < n && given-came < window; given++ {
			b := e.make(first+uint32(given), size(given))
			e.send(b)
			sent += uint64(len(b))
		}
		want := e.make(first+uint32(came), size(came))
		select {
		case got := <-e.other.came:
			if isARP(got) {
				came--
				continue
			}
			if len(got) == 60 && len(want) < 60 {
				want = append(want, make([]byte, 60-len(want))...)
			}
			if err := equalFrames(got, want); err != nil {
				return sent, fmt.Errorf("from end %d, frame %d: %w", e.index, came, err)
			}
		case <-late.C:
			return sent, fmt.Errorf("from end %d only %d frames of %d came", e.index, came, n)
		}
	}
	if wrong := e.other.wrong.Load(); wrong != nil {
		return sent, *wrong
	}
	return sent, nil
}

// ask sends an ARP request to the guest's own host and waits a moment for its answer.
func (e *cardEnd) ask(ip [4]byte) error {
	b := make([]byte, 60)
	copy(b, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	copy(b[6:], e.mac())
	copy(b[12:], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1})
	copy(b[22:], e.mac())
	copy(b[28:], []byte{ip[0], ip[1], ip[2], 254})
	copy(b[38:], ip[:])
	e.send(b)
	for wait := time.After(200 * time.Millisecond); ; {
		select {
		case got := <-e.came:
			if len(got) >= 42 && isARP(got) && got[21] == 2 && bytes.Equal(got[28:32], ip[:]) {
				return nil
			}
		case <-wait:
			return errors.New("no answer")
		}
	}
}
