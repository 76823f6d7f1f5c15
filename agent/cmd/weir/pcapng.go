// Slow path: a pcapng stream with the direction of each packet and remarks on it, which pcapgo's writer cannot say.

package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"time"
)

// The link types that weir writes.
const (
	linkEthernet = 1
	linkIP       = 101 // packets begin with an IPv4 or IPv6 header
)

// The directions of an epb_flags option.
const (
	inbound  = 1
	outbound = 2
)

// pcapng writes one section with one interface and nanosecond times.
type pcapng struct {
	w     *bufio.Writer
	block []byte // scratch
}

func newPcapng(w io.Writer, link uint16, name string, snaplen uint32) *pcapng {
	p := &pcapng{w: bufio.NewWriterSize(w, 64<<10)}
	le := binary.LittleEndian
	b := le.AppendUint32(p.begin(0x0a0d0d0a), 0x1a2b3c4d)
	b = le.AppendUint16(le.AppendUint16(b, 1), 0)     // version 1.0
	b = le.AppendUint64(b, ^uint64(0))                // length of the section: not known
	_ = p.end(endOptions(appendOption(b, 4, "weir"))) // shb_userappl
	b = le.AppendUint16(le.AppendUint16(p.begin(1), link), 0)
	b = appendOption(le.AppendUint32(b, snaplen), 2, name) // if_name
	_ = p.end(endOptions(appendOption(b, 9, "\x09")))      // if_tsresol: 10^-9
	return p
}

// packet writes an enhanced packet block.
func (p *pcapng) packet(at time.Time, data []byte, length int, direction uint32, comment string) error {
	le := binary.LittleEndian
	ns := uint64(at.UnixNano())
	b := le.AppendUint32(p.begin(6), 0) // the interface
	b = le.AppendUint32(le.AppendUint32(b, uint32(ns>>32)), uint32(ns))
	b = le.AppendUint32(le.AppendUint32(b, uint32(len(data))), uint32(length))
	b = pad4(append(b, data...))
	b = appendOption(b, 2, string(le.AppendUint32(nil, direction))) // epb_flags
	if comment != "" {
		b = appendOption(b, 1, comment)
	}
	return p.end(endOptions(b))
}

func (p *pcapng) flush() error { return p.w.Flush() }

// begin opens a block; end writes it with its length at both ends. Its error is that of the block or of one before, and
// flush has it, too.
func (p *pcapng) begin(kind uint32) []byte {
	return append(binary.LittleEndian.AppendUint32(p.block[:0], kind), 0, 0, 0, 0)
}

func (p *pcapng) end(b []byte) error {
	n := uint32(len(b) + 4)
	binary.LittleEndian.PutUint32(b[4:], n)
	p.block = binary.LittleEndian.AppendUint32(b, n)
	_, err := p.w.Write(p.block)
	return err
}

func appendOption(b []byte, code uint16, value string) []byte {
	value = value[:min(len(value), 0xfffc)]
	b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, code), uint16(len(value)))
	return pad4(append(b, value...))
}

func endOptions(b []byte) []byte { return append(b, 0, 0, 0, 0) }

func pad4(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
