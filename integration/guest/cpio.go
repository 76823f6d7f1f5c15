package guest

import (
	"bytes"
	"compress/gzip"
	"fmt"
)

// archive builds an initramfs: a cpio archive in the "newc" format, compressed
// (Documentation/driver-api/early-userspace/buffer-format.rst of Linux).
type archive struct {
	b     bytes.Buffer
	inode int
}

// File modes of cpio, which are those of stat.
const (
	modeDir  = 0o040755
	modeFile = 0o100755
	modeChar = 0o020600
)

// add appends one entry. A device's number is given by major and minor.
func (a *archive) add(name string, mode int, data []byte, major, minor int) {
	a.inode++
	links := 1
	if mode == modeDir {
		links = 2
	}
	fmt.Fprintf(&a.b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
	a.b.WriteString(name)
	a.b.WriteByte(0)
	a.pad()
	a.b.Write(data)
	a.pad()
}

// pad fills up to four bytes: every header and every file begins there.
func (a *archive) pad() {
	for a.b.Len()%4 != 0 {
		a.b.WriteByte(0)
	}
}

func (a *archive) dir(name string)               { a.add(name, modeDir, nil, 0, 0) }
func (a *archive) file(name string, data []byte) { a.add(name, modeFile, data, 0, 0) }

// compressed ends the archive and gives it gzipped.
func (a *archive) compressed() ([]byte, error) {
	a.add("TRAILER!!!", 0, nil, 0, 0)
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(a.b.Bytes()); err != nil {
		return nil, err
	}
	err = w.Close() // before the bytes are taken: it writes the last ones
	return out.Bytes(), err
}
