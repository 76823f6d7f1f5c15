// Slow path: the command that follows a frame through a running bridge.

package main

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"github.com/weirswitch/weir/agent"
)

func (t *tool) trace(fs *flag.FlagSet) func([]string) error {
	asJSON := fs.Bool("json", false, "print JSON: a list with one value for each frame")
	bytes := fs.String("hex", "", "`BYTES` of the frame, from the destination address on, without checksum; blanks and colons may stand between them")
	file := fs.String("pcap", "", "`FILE` trace every frame of this pcap or pcapng capture")
	in := fs.String("in-port", "", "`PORT` the frame comes in by, by name or number")
	length := fs.Int("length", 0, "`BYTES` that the frame of FLOW is long, zeros filling it up (default what its headers need, at least 60)")
	segment := fs.Int("segment", 0, "`BYTES` of data in each segment: it is a super-frame of TCP or UDP, as a host with segmentation offload sends it")
	send := fs.Bool("send", false, "then forward the frame in earnest, as if it had come in by that port")
	return func(words []string) error {
		flow := ""
		if len(words) > 1 {
			flow = words[1]
		}
		given := 0
		for _, s := range []string{flow, *bytes, *file} {
			if s != "" {
				given++
			}
		}
		if given != 1 {
			return usagef("which frame? Expected one of FLOW, --hex BYTES and --pcap FILE")
		}
		q := agent.TraceRequest{Flow: flow, InPort: *in, Length: *length, Segment: *segment, Send: *send}
		if *bytes != "" {
			var err error
			if q.Frame, err = parseHex(*bytes); err != nil {
				return usageError{err.Error()}
			}
		}
		c, err := t.dial(words[0])
		if err != nil {
			return err
		}
		defer c.Close()
		p := tracePrinter{tool: t, json: *asJSON}
		if *file == "" {
			err = p.trace(c, q)
		} else {
			err = p.capture(c, q, *file)
		}
		return p.end(err)
	}
}

// parseHex reads the bytes of a frame.
func parseHex(text string) ([]byte, error) {
	digits := strings.NewReplacer(" ", "", "\t", "", "\n", "", "\r", "", ":", "").Replace(text)
	digits = strings.TrimPrefix(digits, "0x")
	if i := strings.IndexFunc(digits, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) }); i >= 0 {
		return nil, fmt.Errorf("--hex: %q is no hexadecimal digit; expected bytes such as 020000000002 020000000001 0800", []rune(digits[i:])[0])
	}
	if len(digits)%2 != 0 {
		return nil, fmt.Errorf("--hex: %d digits make no whole number of bytes; one is missing or too many", len(digits))
	}
	return hex.DecodeString(digits)
}

// tracePrinter prints one trace after the other.
type tracePrinter struct {
	*tool
	json bool
	n    int
}

// capture traces the frames of a file.
func (p *tracePrinter) capture(c *agent.Client, q agent.TraceRequest, file string) error {
	for b, err := range agent.CapturedFrames(file) {
		if err != nil {
			return err
		}
		q.Frame = b
		if !p.json {
			if p.n > 0 {
				fmt.Fprintln(p.out)
			}
			fmt.Fprintf(p.out, "%s, frame %d\n", file, p.n+1)
		}
		if err := p.trace(c, q); err != nil {
			return fmt.Errorf("%s, frame %d: %w", file, p.n+1, err)
		}
	}
	if p.n == 0 {
		return fmt.Errorf("%s: there is no frame in it", file)
	}
	return nil
}

func (p *tracePrinter) trace(c *agent.Client, q agent.TraceRequest) error {
	s, err := c.Trace(q)
	if err != nil {
		return err
	}
	p.n++
	if !p.json {
		fmt.Fprint(p.out, s)
		return nil
	}
	text, err := json.MarshalIndent(s, "  ", "  ")
	if p.n == 1 {
		fmt.Fprint(p.out, "[\n  ")
	} else {
		fmt.Fprint(p.out, ",\n  ")
	}
	fmt.Fprintf(p.out, "%s", text)
	return err
}

// end closes the list of JSON.
func (p *tracePrinter) end(err error) error {
	if p.json && p.n > 0 {
		fmt.Fprint(p.out, "\n]\n")
	}
	return err
}
