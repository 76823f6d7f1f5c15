package ports

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// stamp is a packet with its time.
type stamp struct {
	at   time.Time
	data []byte
}

var epoch = time.Unix(1700000000, 123456789).UTC()

func samplePackets() []stamp {
	return []stamp{
		{epoch, ethernet(1, 60)},
		{epoch.Add(time.Second), ethernet(2, 1514)},
		{epoch.Add(1500*time.Millisecond + 7), ethernet(3, 61)},
	}
}

// writeNg makes a pcapng file with pcapgo's writer.
func writeNg(t testing.TB, packets []stamp) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: len(p.data), Length: len(p.data)}, p.data); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	return b.Bytes()
}

// writePcap makes a pcap file by hand, in either byte order and resolution.
func writePcap(order binary.AppendByteOrder, nanos bool, snaplen uint32, packets []stamp) []byte {
	magic, unit := uint32(magicMicros), 1000
	if nanos {
		magic, unit = magicNanos, 1
	}
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = order.AppendUint32(b, snaplen)
	b = order.AppendUint32(b, 1)
	for _, p := range packets {
		b = order.AppendUint32(b, uint32(p.at.Unix()))
		b = order.AppendUint32(b, uint32(p.at.Nanosecond()/unit))
		b = order.AppendUint32(b, uint32(len(p.data)))
		b = order.AppendUint32(b, uint32(len(p.data)))
		b = append(b, p.data...)
	}
	return b
}

// readCapture gives all packets of a file and how it ended.
func readCapture(b []byte) ([]stamp, error) {
	c, err := newCapture("f", bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	var got []stamp
	for {
		data, at, err := c.next()
		if err != nil {
			return got, err
		}
		got = append(got, stamp{at, bytes.Clone(data)})
	}
}

func samePackets(a, b []stamp, unit time.Duration) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i].data, b[i].data) || !a[i].at.Truncate(unit).Equal(b[i].at.Truncate(unit)) {
			return false
		}
	}
	return true
}

func TestCaptureFormats(t *testing.T) {
	want := samplePackets()
	for name, file := range map[string][]byte{
		"pcap little endian":        writePcap(binary.LittleEndian, false, 65535, want),
		"pcap big endian":           writePcap(binary.BigEndian, false, 65535, want),
		"pcap nanoseconds":          writePcap(binary.LittleEndian, true, 65535, want),
		"pcap nanoseconds big":      writePcap(binary.BigEndian, true, 65535, want),
		"pcap above its own length": writePcap(binary.LittleEndian, true, 100, want),
		"pcapng":                    writeNg(t, want),
		"two pcapng files in one":   append(writeNg(t, want[:1]), writeNg(t, want[1:])...),
	} {
		unit := time.Microsecond
		if strings.Contains(name, "nano") || strings.Contains(name, "ng") {
			unit = time.Nanosecond
		}
		got, err := readCapture(file)
		if err != io.EOF || !samePackets(got, want, unit) {
			t.Errorf("%s: %d packets, %v", name, len(got), err)
		}
	}
}

// TestCaptureForeignFormats reads what wireshark's editcap made of a file.
func TestCaptureForeignFormats(t *testing.T) {
	needProgram(t, "editcap")
	dir := t.TempDir()
	in := filepath.Join(dir, "in.pcapng")
	want := samplePackets()
	if err := os.WriteFile(in, writeNg(t, want), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"pcap", "nsecpcap", "pcapng"} {
		out := filepath.Join(dir, format)
		if b, err := exec.Command("editcap", "-F", format, in, out).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		unit := time.Nanosecond
		if format == "pcap" {
			unit = time.Microsecond
		}
		if got, err := readCapture(b); err != io.EOF || !samePackets(got, want, unit) {
			t.Errorf("%s: %d packets, %v", format, len(got), err)
		}
	}
}

// needProgram skips without a program, unless CI promises that it is there.
func needProgram(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing, and nothing may be skipped in CI", name)
	}
	t.Skipf("%s is not installed", name)
}

// ngFile builds a pcapng file block by block, wrong ones included.
type ngFile struct{ b []byte }

func (f *ngFile) block(kind uint32, body []byte) *ngFile {
	n := uint32(12 + len(body))
	f.b = binary.LittleEndian.AppendUint32(f.b, kind)
	f.b = binary.LittleEndian.AppendUint32(f.b, n)
	f.b = append(f.b, body...)
	f.b = binary.LittleEndian.AppendUint32(f.b, n)
	return f
}

func words(v ...uint32) (b []byte) {
	for _, w := range v {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

func newNg() *ngFile {
	return new(ngFile).block(blockSection, words(magicOrder, 1, 0xffffffff, 0xffffffff))
}

func (f *ngFile) iface(link, snaplen uint32, options ...byte) *ngFile {
	return f.block(blockInterface, append(words(link, snaplen), options...))
}

func TestCaptureBlocks(t *testing.T) {
	data := ethernet(5, 60)
	padded := append(bytes.Clone(data[:58]), 0, 0)
	for name, file := range map[string]*ngFile{
		"simple packet":             newNg().iface(1, 0).block(blockSimple, append(words(60), data...)),
		"simple packet cut":         newNg().iface(1, 58).block(blockSimple, append(words(1000), padded...)),
		"old packet":                newNg().iface(1, 0).block(blockPacketOld, append(words(0, 0, 0, 60, 60), data...)),
		"unknown blocks":            newNg().block(77, make([]byte, 4000)).iface(1, 0).block(0x80000001, nil).block(blockPacket, append(words(0, 0, 0, 60, 60), data...)),
		"resolution 2^-63":          newNg().iface(1, 0, 9, 0, 1, 0, 0x80|63, 0, 0, 0).block(blockPacket, append(words(0, 0, 0, 60, 60), data...)),
		"resolution 10^-19":         newNg().iface(1, 0, 9, 0, 1, 0, 19, 0, 0, 0).block(blockPacket, append(words(0, 0, 0, 60, 60), data...)),
		"statistics and no options": newNg().iface(1, 0).block(blockStatistics, words(0, 0, 0)).block(blockPacket, append(words(0, 0, 0, 60, 60), data...)),
	} {
		got, err := readCapture(file.b)
		if err != io.EOF || len(got) != 1 || !bytes.HasPrefix(data, got[0].data) || len(got[0].data) < 58 {
			t.Errorf("%s: %d packets, %v", name, len(got), err)
		}
	}
}

func TestCaptureMalformed(t *testing.T) {
	packets := samplePackets()
	pcap := writePcap(binary.LittleEndian, true, 65535, packets)
	poke := func(b []byte, at int, v uint32) []byte {
		b = bytes.Clone(b)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	packet := append(words(0, 0, 0, 60, 60), ethernet(1, 60)...)
	for _, tc := range []struct {
		name  string
		file  []byte
		whole int // packets before the damage
		says  []string
	}{
		{"nothing", nil, 0, []string{"is empty"}},
		{"two bytes", []byte{1, 2}, 0, []string{"2 bytes"}},
		{"text", []byte("hello world, this is no capture"), 0, []string{"68 65 6c 6c", "expected a pcap or pcapng file"}},
		{"gzip", []byte{0x1f, 0x8b, 8, 0, 0}, 0, []string{"gunzip"}},
		{"version 3", poke(pcap, 4, 3), 0, []string{"version"}},
		{"wireless", poke(pcap, 20, 105), 0, []string{"link type 105", "expected Ethernet"}},
		{"header cut", pcap[:20], 0, []string{"cut off"}},
		{"second record cut", pcap[:24+16+60+16+100], 1, []string{"packet 2 at byte 100", "cut off"}},
		{"record header cut", pcap[:24+16+60+5], 1, []string{"packet 2 at byte 100", "cut off"}},
		{"record of 4 GiB", poke(pcap, 24+16+60+8, 0xfffffff0), 1, []string{"packet 2 at byte 100", "4294967280 bytes"}},
		{"longer than it was", poke(pcap, 24+16+60+12, 1), 1, []string{"packet 2 at byte 100", "exceeds original"}},
		{"block of 8 bytes", append(newNg().iface(1, 0).b, words(6, 8, 8)...), 0, []string{"at byte 48", "announces 8 bytes"}},
		{"block of 4 GiB", append(newNg().iface(1, 0).b, words(6, 0xfffffffc, 0)...), 0, []string{"4294967292 bytes"}},
		{"unknown block of 4 GiB", append(newNg().iface(1, 0).b, words(99, 0xfffffffc, 0)...), 0, []string{"type 99"}},
		{"unknown block cut", append(newNg().iface(1, 0).b, words(99, 400, 0)...), 0, []string{"cut off"}},
		{"odd length", append(newNg().iface(1, 0).b, words(6, 33, 0)...), 0, []string{"33 bytes"}},
		{"trailer differs", poke(newNg().iface(1, 0).block(blockPacket, packet).b, 48+88, 44), 0, []string{"at byte 48", "92 bytes at its beginning and 44 at its end"}},
		{"packet longer than block", newNg().iface(1, 0).block(blockPacket, append(words(0, 0, 0, 61, 61), ethernet(1, 60)...)).b, 0, []string{"61 bytes in a block with room for 60"}},
		{"packet of no interface", newNg().iface(1, 0).block(blockPacket, append(words(3, 0, 0, 60, 60), ethernet(1, 60)...)).b, 0, []string{"Interface id 3"}},
		{"packet before any interface", newNg().block(blockPacket, packet).b, 0, []string{"Interface"}},
		{"simple packet too long", newNg().iface(1, 0).block(blockSimple, append(words(61), ethernet(1, 60)...)).b, 0, []string{"61 bytes in a block"}},
		{"second interface is wireless", newNg().iface(1, 0).iface(105, 0).block(blockPacket, packet).block(blockPacket, append(words(1, 0, 0, 60, 60), ethernet(1, 60)...)).b, 1, []string{"link type 105"}},
		{"resolution 2^-64", newNg().iface(1, 0, 9, 0, 1, 0, 0x80|64, 0, 0, 0).block(blockPacket, packet).b, 0, []string{"time resolution c0"}},
		{"resolution 10^-64", newNg().iface(1, 0, 9, 0, 1, 0, 64, 0, 0, 0).block(blockPacket, packet).b, 0, []string{"time resolution 40"}},
		{"time offset of 2 bytes", newNg().iface(1, 0, 14, 0, 2, 0, 1, 1, 0, 0).b, 0, []string{"time offset has 2 bytes"}},
		{"option past the block", newNg().iface(1, 0, 2, 0, 200, 0, 'x', 0, 0, 0).b, 0, []string{"option 2 announces 200 bytes where 4 are left"}},
		{"byte order", poke(newNg().b, 8, 0x01020304), 0, []string{"byte order mark 04 03 02 01"}},
		{"version 9", poke(newNg().b, 12, 9), 0, []string{"ersion"}},
		{"one interface option of two bytes", newNg().iface(1, 0, 1, 0, 0, 0, 7, 0, 9).b, 0, []string{"announces"}},
	} {
		got, err := readCapture(tc.file)
		var placed *CaptureError
		if len(got) != tc.whole || !errors.As(err, &placed) {
			t.Errorf("%s: %d packets, %v", tc.name, len(got), err)
			continue
		}
		for _, s := range tc.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", tc.name, err, s)
			}
		}
	}
}

// TestCaptureCutAnywhere cuts good files at every byte: what is whole is read,
// and the end is called either an end or cut off.
func TestCaptureCutAnywhere(t *testing.T) {
	packets := []stamp{{epoch, ethernet(1, 20)}, {epoch, ethernet(2, 21)}}
	for _, file := range [][]byte{writePcap(binary.BigEndian, false, 65535, packets), writeNg(t, packets)} {
		last := -1
		for n := range len(file) {
			got, err := readCapture(file[:n])
			var placed *CaptureError
			if err != io.EOF && !errors.As(err, &placed) {
				t.Fatalf("cut at %d: %v", n, err)
			}
			if len(got) < last || len(got) > 2 {
				t.Fatalf("cut at %d: %d packets", n, len(got))
			}
			last = len(got)
		}
		if got, err := readCapture(file); len(got) != 2 || err != io.EOF {
			t.Fatalf("%d packets, %v", len(got), err)
		}
	}
}

// TestCaptureAllocatesForWhatIsThere: a file cannot ask for more memory than
// the longest packet takes, whatever lengths it announces.
func TestCaptureAllocatesForWhatIsThere(t *testing.T) {
	packet := append(words(0, 0, 0, 60, 60), ethernet(1, 60)...)
	file := newNg().iface(1, 0xfffffff0).block(blockPacket, packet).b
	file = append(file, newNg().iface(1, 0x7fffffff).block(blockSimple, append(words(60), ethernet(1, 60)...)).b...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := readCapture(file)
	runtime.ReadMemStats(&after)
	if len(got) != 2 || err != io.EOF {
		t.Fatalf("%d packets, %v", len(got), err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 4*maxSnaplen {
		t.Fatalf("%d bytes allocated for a file of %d", used, len(file))
	}
}

// FuzzCapture: any bytes are read to an end, an EOF or a placed error.
func FuzzCapture(f *testing.F) {
	f.Add(writePcap(binary.LittleEndian, true, 65535, samplePackets()))
	f.Add(writePcap(binary.BigEndian, false, 65535, samplePackets()))
	f.Add(writeNg(f, samplePackets()))
	f.Add(newNg().iface(1, 58, 9, 0, 1, 0, 0x8a, 0, 0, 0).block(blockSimple, append(words(60), ethernet(1, 60)...)).
		block(blockStatistics, words(0, 0, 0, 2|8<<16, 0, 0)).block(77, words(1, 2, 3)).b)
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := readCapture(file)
		var placed *CaptureError
		if err != io.EOF && !errors.As(err, &placed) {
			t.Fatalf("%v", err)
		}
		if placed != nil && strings.Contains(placed.Reason, "gave up") {
			t.Fatalf("the decoder panicked behind the screen: %v", err)
		}
		total := 0
		for _, p := range got {
			total += len(p.data)
		}
		if total > len(file) {
			t.Fatalf("%d bytes of packets out of a file of %d", total, len(file))
		}
	})
}
