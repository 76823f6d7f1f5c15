// Slow path: what snoop, capture and watch have in common: they go on until Ctrl-C, a count or the bridge's end.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/weirswitch/weir/agent"
)

// onlook is one such command.
type onlook struct {
	t      *tool
	file   string // pcapng; "-": standard output; empty: text
	count  uint64 // end after so many; 0: never
	asJSON bool

	link    uint16 // of the file
	name    string // of the file's interface
	snaplen uint32
	what    string // "frames"

	ng           *pcapng
	out          *os.File // to close
	begun        bool
	seen, missed uint64
}

// onlookFlags adds the flags that they share.
func onlookFlags(t *tool, fs *flag.FlagSet, what string) *onlook {
	o := &onlook{t: t, what: what}
	fs.Func("c", "`COUNT` end after so many "+what, func(text string) (err error) {
		if o.count, err = strconv.ParseUint(text, 10, 63); err != nil || o.count == 0 {
			return errors.New("expected a number of " + what + ", from 1")
		}
		return nil
	})
	fs.BoolVar(&o.asJSON, "json", false, "print one JSON object a line")
	return o
}

func (o *onlook) fileFlag(fs *flag.FlagSet) {
	fs.StringVar(&o.file, "w", "", "`FILE` write pcapng for Wireshark, tshark or tcpdump; - is standard output")
}

// check refuses what cannot go together.
func (o *onlook) check() error {
	if o.file != "" && o.asJSON {
		return usagef("-w and --json: choose one")
	}
	return nil
}

// run follows a stream until it ends and tells how much there was. Ctrl-C is the usual end, and no failure.
func (o *onlook) run(title string, follow func(ctx context.Context, idle func() error) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := follow(ctx, func() error { return o.idle(title) })
	if !o.begun {
		return err
	}
	if o.ng != nil {
		if full := o.ng.flush(); !errors.Is(err, full) { // else told already
			err = errors.Join(err, full)
		}
	}
	if o.out != nil {
		err = errors.Join(err, o.out.Close())
	}
	fmt.Fprintf(o.t.err, "weir: %d %s, %d missed\n", o.seen, o.what, o.missed)
	return err
}

// idle begins when the switch has, and writes what is there whenever nothing more comes for the moment.
func (o *onlook) idle(title string) error {
	if !o.begun {
		if err := o.begin(); err != nil {
			return err
		}
		fmt.Fprintf(o.t.err, "weir: %s; Ctrl-C ends it\n", title)
	}
	if o.ng != nil {
		return o.ng.flush()
	}
	return nil
}

func (o *onlook) begin() (err error) {
	switch o.file {
	case "":
	case "-":
		o.ng = newPcapng(o.t.out, o.link, o.name, o.snaplen)
	default:
		if o.out, err = os.Create(o.file); err != nil {
			return err
		}
		o.ng = newPcapng(o.out, o.link, o.name, o.snaplen)
	}
	o.begun = true
	return nil
}

// noteMissed tells of a gap where it is.
func (o *onlook) noteMissed(n uint64) {
	if o.missed += n; n > 0 && o.ng == nil && !o.asJSON {
		fmt.Fprintf(o.t.out, "... %d missed: they came too fast\n", n)
	}
}

// counted counts one shown thing; ErrEnough ends the stream, and so does a full disk.
func (o *onlook) counted() error {
	if out, ok := o.t.out.(*output); ok && out.err != nil {
		return out.err
	}
	if o.seen++; o.seen == o.count {
		return agent.ErrEnough
	}
	return nil
}

// line prints one JSON object.
func (o *onlook) line(v any) error {
	e := json.NewEncoder(o.t.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// clock is how times are printed: of day, for they are seen as they happen.
const clock = "15:04:05.000000"
