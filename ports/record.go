package ports

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/weirswitch/weir/flowtable/packet"
)

const (
	// flushEvery is how old a recorded packet can be before it is in the file,
	// where somebody may be watching it grow.
	flushEvery = time.Second
	// recordBuffer takes many packets a system call.
	recordBuffer = 256 << 10
	// blockOverhead is what a packet block has beyond its padded packet, and more.
	blockOverhead = 64
)

// recorder writes what leaves a port to a pcapng file with nanosecond times.
// The file always ends with a whole packet once it was flushed, so it can be
// read while it grows, and after the process was killed.
type recorder struct {
	path   string
	failed func(error) // called once, when recording stops by itself

	mu    sync.Mutex
	file  *os.File
	buf   *bufio.Writer // pcapgo writes into it
	ng    *pcapgo.NgWriter
	fin   Finisher
	mtu   int
	timer *time.Timer // runs while there is something to flush
	armed bool
	err   error // the first failure: nothing is recorded after it
	shut  bool
}

// newRecorder creates or overwrites the file, as tcpdump -w does.
func newRecorder(path, port string, mtu int, failed func(error)) (*recorder, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	r := &recorder{path: path, failed: failed, file: file, mtu: mtu, buf: bufio.NewWriterSize(file, recordBuffer)}
	r.ng, err = pcapgo.NewNgWriterInterface(r.buf, pcapgo.NgInterface{
		Name: port, OS: runtime.GOOS, LinkType: layers.LinkTypeEthernet,
		SnapLength: maxSnaplen, TimestampResolution: 9,
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "weir", OS: runtime.GOOS}})
	if err == nil {
		err = r.buf.Flush()
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("record into %s: %w", path, err)
	}
	r.timer = time.AfterFunc(flushEvery, r.flush)
	r.timer.Stop()
	return r, nil
}

// write records frames and answers how many were taken whole or in part.
func (r *recorder) write(frames []*packet.Frame, c *Counters) (taken int) {
	now := time.Now()
	packets, size := 0, 0
	r.mu.Lock()
	had := r.err
	for _, f := range frames {
		n, bytes := r.frame(f, now, c)
		if n > 0 {
			taken, packets, size = taken+1, packets+n, size+bytes
		}
	}
	if packets > 0 && !r.armed {
		r.armed = true
		r.timer.Reset(flushEvery)
	}
	err := r.err
	r.mu.Unlock()
	c.CountTx(packets, size)
	if had == nil && err != nil {
		r.failed(err)
	}
	return taken
}

// frame records one frame, finished and cut into segments. r.mu is held.
func (r *recorder) frame(f *packet.Frame, now time.Time, c *Counters) (n, bytes int) {
	if reason, ok := r.fin.Begin(f, r.mtu); !ok {
		c.DropTx(reason, 1)
		return 0, 0
	}
	for b := r.fin.Next(); b != nil; b = r.fin.Next() {
		switch {
		case r.err != nil || r.shut:
			c.DropTx(DropDevice, 1)
		case len(b) > maxSnaplen:
			c.DropTx(DropTooBig, 1)
		case !r.packet(b, now):
			c.DropTx(DropDevice, 1)
		default:
			n, bytes = n+1, bytes+len(b)
		}
	}
	return n, bytes
}

// packet appends one block. The buffer is emptied before a block that does not
// fit it, so only whole blocks reach the file.
func (r *recorder) packet(b []byte, now time.Time) bool {
	var err error
	if r.buf.Available() < len(b)+blockOverhead {
		err = r.buf.Flush()
	}
	if err == nil {
		err = r.ng.WritePacket(gopacket.CaptureInfo{Timestamp: now, CaptureLength: len(b), Length: len(b)}, b)
	}
	if err != nil {
		r.err = fmt.Errorf("recording into %s stopped: %w", r.path, err)
	}
	return err == nil
}

// flush brings everything into the file.
func (r *recorder) flush() {
	r.mu.Lock()
	r.armed = false
	had := r.err
	if r.err == nil && !r.shut {
		if err := r.buf.Flush(); err != nil {
			r.err = fmt.Errorf("recording into %s stopped: %w", r.path, err)
		}
	}
	err := r.err
	r.mu.Unlock()
	if had == nil && err != nil {
		r.failed(err)
	}
}

// close completes the file.
func (r *recorder) close() error {
	r.timer.Stop()
	r.flush()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		return nil
	}
	r.shut = true
	if err := r.file.Close(); r.err == nil && err != nil {
		r.err = fmt.Errorf("record into %s: %w", r.path, err)
	}
	return r.err
}
