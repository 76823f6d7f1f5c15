// Slow path: how the reading commands show what they were told: once or again and again, for people or as JSON.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/weirswitch/weir/agent"
)

// view is what the flags of such a command say, and what it has of the world.
type view struct {
	t      *tool
	asJSON bool
	every  time.Duration // pause between two readings; 0: one reading
	count  uint64        // readings; 0: until it is ended

	now    func() time.Time
	wait   func(ctx context.Context, d time.Duration) error // until the next reading
	screen func() (columns, lines int, ok bool)             // of the terminal, if the output is one
}

// Bounds of --watch: what is asked of the switch is asked this often at most.
const (
	usualPause = time.Second
	leastPause = 100 * time.Millisecond
)

// viewFlags adds --json, --watch and -c.
func viewFlags(t *tool, fs *flag.FlagSet) *view {
	v := &view{t: t, now: time.Now, wait: pause, screen: func() (int, int, bool) { return screenSize(t.out) }}
	fs.BoolVar(&v.asJSON, "json", false, "print JSON; with --watch one value a line")
	fs.Var((*watchFlag)(v), "watch", "`[INTERVAL]` show it again and again, with rates a second, until Ctrl-C (2s, 500ms, or a number of seconds; 1s if not said)")
	fs.Func("c", "`COUNT` with --watch: end after so many readings", func(text string) (err error) {
		if v.count, err = strconv.ParseUint(text, 10, 63); err != nil || v.count == 0 {
			return errors.New("expected a number of readings, from 1")
		}
		return nil
	})
	return v
}

// watchFlag is --watch, whose value may be left out.
type watchFlag view

func (*watchFlag) String() string   { return "" }
func (*watchFlag) IsBoolFlag() bool { return true }
func (w *watchFlag) Set(text string) error {
	w.every = usualPause
	if text == "true" {
		return nil
	}
	d, ok := interval(text)
	if !ok || d < leastPause {
		return fmt.Errorf("expected a time such as 2s or 500ms, or a number of seconds, at least %s", leastPause)
	}
	w.every = d
	return nil
}

// interval reads a time; a number alone is seconds.
func interval(text string) (time.Duration, bool) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// joinWatch makes one word of "--watch 2s". A bridge whose name begins with a digit must stand before --watch.
func joinWatch(args []string) (out []string) {
	for _, a := range args {
		if n := len(out) - 1; n >= 0 && (out[n] == "--watch" || out[n] == "-watch") {
			if a != "" && a[0] >= '0' && a[0] <= '9' || strings.HasPrefix(a, ".") {
				out[n] += "=" + a
				continue
			}
		}
		out = append(out, a)
	}
	return out
}

// pause sleeps, or ends early with ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shown is one kind of thing to show.
type shown[T any] struct {
	title string // "ports br0"
	ask   func(ctx context.Context) (T, error)
	part  bool                             // ask may give a part beside its error, which is shown, too
	rates func(was, is T, seconds float64) // gives is its rates; nil: there are none
	print func(w io.Writer, is T, rates bool)
}

// present shows it once, or until Ctrl-C, the count, or the end of who reads. Ctrl-C and a reader that has gone are
// the usual ends and no failures.
func present[T any](v *view, s shown[T]) error {
	if v.every == 0 {
		if v.count > 0 {
			return usagef("-c COUNT needs --watch")
		}
		is, err := s.ask(context.Background())
		switch {
		case err != nil && (v.asJSON || !s.part):
			return err
		case v.asJSON:
			return v.t.printJSON(is)
		}
		s.print(v.t.out, is, false)
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	broken := make(chan os.Signal, 1) // a signal that is caught becomes an error of the write
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	err := follow(ctx, v, s)
	if errors.Is(err, syscall.EPIPE) || ctx.Err() != nil {
		return nil
	}
	return err
}

// follow is present with --watch.
func follow[T any](ctx context.Context, v *view, s shown[T]) error {
	var was T
	var before time.Time
	for n := uint64(0); ; n++ {
		is, err := s.ask(ctx)
		if err != nil {
			return err
		}
		at := v.now()
		if n > 0 && s.rates != nil {
			s.rates(was, is, at.Sub(before).Seconds())
		}
		if err := v.show(n, at, s.title, is, func(w io.Writer) { s.print(w, is, s.rates != nil) }); err != nil {
			return err
		}
		if n+1 == v.count {
			return nil
		}
		if err := v.wait(ctx, v.every); err != nil {
			return err
		}
		was, before = is, at
	}
}

// show writes one reading: a line of JSON, a screen, or a block behind those before.
func (v *view) show(n uint64, at time.Time, title string, is any, print func(io.Writer)) error {
	var b strings.Builder
	if v.asJSON {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(is); err != nil {
			return err
		}
		_, err := io.WriteString(v.t.out, b.String())
		return err
	}
	columns, lines, terminal := v.screen()
	if !terminal {
		if n > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s\n", at.Format(clock[:len("15:04:05.000")]))
		print(&b)
		_, err := io.WriteString(v.t.out, b.String())
		return err
	}
	fmt.Fprintf(&b, "weir %s  every %s  %s  Ctrl-C ends it\n", title, v.every, at.Format("15:04:05"))
	print(&b)
	_, err := io.WriteString(v.t.out, drawn(n == 0, strings.TrimSuffix(b.String(), "\n"), columns, lines))
	return err
}

// The few words of a terminal that are needed: where the text goes, and what is behind it.
const (
	eraseAll  = "\x1b[H\x1b[2J"
	goHome    = "\x1b[H"
	eraseLine = "\x1b[K"
	eraseRest = "\x1b[J"
)

// drawn is a text that takes the place of the one before on a screen of that size. What does not fit is cut, and said.
func drawn(first bool, text string, columns, lines int) string {
	list := strings.Split(text, "\n")
	if most := lines - 1; lines > 2 && len(list) > most {
		left := len(list) - most + 1
		list = append(list[:most-1], fmt.Sprintf("... and %s more", agent.Plural(left, "line")))
	}
	var b strings.Builder
	b.WriteString(goHome)
	if first {
		b.Reset()
		b.WriteString(eraseAll)
	}
	for _, line := range list {
		if columns > 0 && utf8.RuneCountInString(line) > columns {
			line = string([]rune(line)[:columns-1]) + ">"
		}
		b.WriteString(line + eraseLine + "\n")
	}
	b.WriteString(eraseRest)
	return b.String()
}
